-- Converts many pieces of Markdown and HTML in one pandoc process, each parsed on its own.
--
-- stdin:  {to, numbered, shift, folder, anchors: {name: {id, label}}, pieces: [{source, reader, inline}]}
-- stdout: {pieces: [markup], headings: [{level, id, number, text}], images: [{name, source}]}
--
-- Both output forms get the same tree: raw HTML is parsed away, external links become text,
-- pictures get names, whose sources are handed back.

local request = pandoc.json.decode(io.read("a"), false)
local tables = dofile(pandoc.path.join { pandoc.path.directory(arg[0]), "tables.lua" })

local READERS = {
  -- What JupyterLab understands: CommonMark, GitHub's tables, dollar math.
  markdown = "commonmark+pipe_tables+strikeout+task_lists+autolink_bare_uris+tex_math_dollars+raw_html"
    .. "+attributes+gfm_auto_identifiers+ascii_identifiers",
  html = "html+tex_math_dollars+tex_math_single_backslash",
}
local WRITER_OPTIONS = { html_math_method = "mathml", wrap_text = "wrap-none" }
local SANDBOX = {} -- no files: pandoc neither reads the disk nor the network while it parses

local function parse(source, reader)
  -- Without a last line end, CommonMark's tables lose their last row.
  return pandoc.read(source .. "\n", READERS[reader], nil, SANDBOX)
end

local function write(blocks)
  return (pandoc.write(pandoc.Pandoc(blocks), request.to, WRITER_OPTIONS):gsub("%s+$", ""))
end

-- Raw HTML inside Markdown is written out and read again as HTML, so that it becomes part of the tree.
local function without_raw_html(doc)
  local raw = false
  local function seen(element)
    raw = raw or element.format == "html"
  end
  doc:walk { RawInline = seen, RawBlock = seen }
  if not raw then
    return doc
  end
  local plain_code = doc:walk { CodeBlock = function(element)
    return pandoc.CodeBlock(element.text) -- a highlighted one would come back as a heap of spans
  end }
  return parse(pandoc.write(plain_code, "html", { html_math_method = "mathjax" }), "html")
end

-- Headings: no skipped level, one anchor each, numbered here for HTML (Typst counts by itself).
local headings, anchors, taken, counters, last_level = {}, {}, {}, {}, 0

-- JupyterLab names a heading's anchor after its text, with hyphens for spaces; case is no matter here.
local function anchor_key(name)
  local decoded = name:gsub("%%(%x%x)", function(code) return string.char(tonumber(code, 16)) end)
  return (pandoc.text.lower(decoded):gsub(" ", "-"))
end

for name, anchor in pairs(request.anchors) do
  anchors[anchor_key(name)] = anchor
  taken[anchor.id] = true
end

local function unique_anchor(element)
  local base = element.identifier:lower():gsub("[^%w_-]", "")
  if base == "" then
    base = "section"
  end
  local id, copy = base, 1
  while taken[id] do
    copy = copy + 1
    id = base .. "-" .. copy
  end
  taken[id] = true
  local key = anchor_key(pandoc.utils.stringify(element))
  anchors[key] = anchors[key] or { id = id }
  return id
end

local function next_number(level)
  for deeper = #counters, level + 1, -1 do
    counters[deeper] = nil
  end
  for each = 1, level do
    counters[each] = counters[each] or 0
  end
  counters[level] = counters[level] + 1
  return table.concat(counters, ".")
end

local function heading(element)
  local level = math.min(element.level, last_level + 1)
  last_level = level
  local numbered = request.numbered and not element.classes:includes("unnumbered")
  local entry = {
    level = level,
    id = unique_anchor(element),
    number = numbered and next_number(level) or "",
    text = write { pandoc.Plain(element.content) },
  }
  headings[#headings + 1] = entry
  local content = element.content
  if request.to == "html" and numbered then
    content = pandoc.Inlines { pandoc.Span(entry.number, { class = "number" }), pandoc.Space() } .. content
  end
  local classes = (request.numbered and not numbered) and { "unnumbered" } or {}
  return pandoc.Header(level + request.shift, content, pandoc.Attr(entry.id, classes))
end

-- Links: inside the document they stay; of an external one the address stays as text.
local function link(element)
  local anchor = element.target:sub(1, 1) == "#" and anchors[anchor_key(element.target:sub(2))]
  local text = pandoc.utils.stringify(element)
  if anchor then
    local content = element.content
    if anchor.label and (text == "Figure" or text == "Table") then
      content = pandoc.Inlines { pandoc.Str(anchor.label) }
    end
    return pandoc.Link(content, "#" .. anchor.id)
  end
  local address = element.target:match("^%a[%w+.-]*:/*(.+)$")
  if not address then
    return element.content
  end
  if text:find(address, 1, true) then
    return pandoc.Str(address)
  end
  return element.content .. { pandoc.Space(), pandoc.Str("(" .. address .. ")") }
end

-- Pictures: those at hand are carried along, of others the description stays.
local images = {}

local function at_hand(source)
  if source:find("^data:image/") then
    return true
  end
  local file = not source:find("^%a+:") and io.open(pandoc.path.join { request.folder, source }, "rb")
  if file then
    file:close()
  end
  return file
end

local function image(element)
  if not at_hand(element.src) then
    local text = pandoc.utils.stringify(element.caption)
    local shown = element.src:gsub("^%a+:/*", "")
    return pandoc.Emph("[picture not included: " .. (text ~= "" and text .. ", " or "") .. shown .. "]")
  end
  local suffix = element.src:match("^data:image/(%w+)") or element.src:match("%.(%w+)$") or "png"
  local name = "media-" .. #images + 1 .. "." .. suffix -- Typst goes by the suffix
  images[#images + 1] = { name = name, source = element.src }
  local size = { width = element.attributes.width, height = element.attributes.height }
  return pandoc.Image(element.caption, name, "", pandoc.Attr("", {}, size))
end

local function small(element)
  if request.to == "typst" and element.classes:includes("small") then
    return { pandoc.RawInline("typst", "#small["), element, pandoc.RawInline("typst", "]") }
  end
end

local function code_block(element)
  local language = request.to == "typst" and element.classes or {}
  return pandoc.CodeBlock(element.text, pandoc.Attr("", language))
end

local function data_table(element)
  tables.tidy(element)
  if request.to == "typst" then
    return pandoc.RawBlock("typst", tables.typst(element, write))
  end
  return pandoc.Div(element, { class = "scroll", tabindex = "0" })
end

-- Headings come first in all pieces, so that a link may point forwards.
local trees = {}
for index, piece in ipairs(request.pieces) do
  trees[index] = without_raw_html(parse(piece.source, piece.reader)):walk { Header = heading }
end

local results = {}
for index, tree in ipairs(trees) do
  local done = tree:walk {
    Link = link, Image = image, Span = small, CodeBlock = code_block, Table = data_table,
  }
  local blocks = done.blocks
  if request.pieces[index].inline and #blocks == 1 and blocks[1].t == "Para" then
    blocks = { pandoc.Plain(blocks[1].content) }
  end
  results[index] = write(blocks)
end

-- pandoc.List({}) is encoded as [], an empty Lua table would be {}.
print(pandoc.json.encode {
  pieces = pandoc.List(results),
  headings = pandoc.List(headings),
  images = pandoc.List(images),
})
