// What formulas.py calls; runs after the vendored files. MathJax is set up as JupyterLab does it, apart from
// bussproofs, which measures boxes in a browser.
(function () {
  const { input, core, mathjax, adaptors, handlers } = MathJax._;
  const { Configuration } = input.tex.Configuration;
  const { TEXCLASSNAMES } = core.MmlTree.MmlNode;
  const { STATE } = core.MathItem;
  const { HTMLMathItem } = handlers.html.HTMLMathItem;
  handlers.html_ts.RegisterHTMLHandler(adaptors.liteAdaptor.liteAdaptor());
  const visitor = new core.MmlTree.SerializedMmlVisitor.SerializedMmlVisitor();

  // As MathJax's noundefined: an unknown command is shown in red. This one takes a note of its name, too.
  let unknown = [];
  Configuration.create("unknown-commands", {
    fallback: {
      macro(parser, name) {
        unknown.push("\\" + name);
        parser.Push(parser.create("node", "mtext", [], { mathcolor: "red" }, parser.create("text", "\\" + name)));
      },
    },
  });
  const replaced = ["bussproofs", "noundefined"];
  const packages = input.tex.AllPackages.AllPackages.filter((name) => !replaced.includes(name));

  const bundled = [...packages, "physics", "colorv2"];

  const items = [];
  let jax, doc;
  const methods = {
    start(tags) {
      jax = new input.tex_ts.TeX({
        packages: [...packages, "require", "unknown-commands"],
        tags,
        require: { allow: Object.fromEntries(bundled.map((name) => [name, true])), defaultAllow: false },
        ignoreDuplicateLabels: true, // a cell that was copied is no error
      });
      doc = mathjax.mathjax.document("", { InputJax: jax });
    },
    compile(index, tex, display) {
      unknown = [];
      const item = new HTMLMathItem(tex, jax, display);
      items[index] = item;
      item.compile(doc);
      item.unknown = unknown;
    },
    // A formula that refers to a label further down is compiled again, as MathJax does it in a document.
    compileAgain(index) {
      const item = items[index];
      const again = item.inputData.recompile;
      if (again) {
        item.state(again.state);
        item.inputData.recompile = again;
        item.compile(doc);
      }
    },
    // MathML, with what MathJax's own output formats know of an operator beyond its attributes.
    result(index) {
      const { root, unknown } = items[index];
      items[index] = undefined;
      root.setTeXclass(null);
      root.walkTree((node) => {
        if (!node.isKind("mo")) return;
        node.attributes.set("data-class", node.texClass < 0 ? "NONE" : TEXCLASSNAMES[node.texClass]);
        for (const name of ["stretchy", "movablelimits", "largeop"]) {
          if (node.attributes.get(name)) node.attributes.set("data-" + name, "true");
        }
      });
      return { mathml: visitor.visitTree(root), unknown };
    },
  };
  globalThis.call = (method, ...args) => JSON.stringify(methods[method](...args) ?? null);
})();
