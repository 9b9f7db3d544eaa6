"""Mutated parameter files and command lines: mutant number k is always the same one."""

import random
import re
from functools import cache
from typing import NamedTuple

from lib.system import paths

#: Spellings, two blanks apart, of values that no parameter has, or none in this way.
SPELLINGS = r"""
null  ~  ""  ''  []  {}  [[]]  [[[]]]  [null]  [""]  [{}]  {a: 1}  [{a: 1}]  true  yes  on  No  off  y  n  [true]  :  ::
-0  -1  -0.0  0  1  2  1.5  0.5  0.999  1.0  1e-3  1e3  -1e3  1e999  -1e999  1e-999  .nan  .NaN  .inf  -.inf  nan  inf
NaN  Infinity  [.nan]  [.inf]  [-1]  [0]  [1]  [1e999]  [0.1, .nan]  0x1F  0xffffffffffffffffffffff  0o17  017  08  0b11
1:30  -1:30  190:20:30  1:30.5  1:99  1_000  1__0  _1  +1  +  -  --  .  ..  ...  1e  1.e5  1e+  =  <  >  !  %  @  `  *
&  ?  |  >-  ,  ]  }  [  {  [1  [1, 2  {a  "  '  "\x  "\uD800"  "\0"  "\e[31m"  "\u202e"  '\'  # - x  4294967295
4294967296  2147483648  9223372036854775808  -9223372036854775809  1000000000  1e18  1e308  1.8e309  2001-01-01
2001-13-45  2001-02-30  0000-00-00  9999-99-99  [2001-99-01]  2001-01-01T25:61:61Z  2001-1-1 1:1:1 +99:99
2001-01-01T10:00:00+99:99  '2001-13-45'  2001-12-14t21:59:43.1-05:00  {2001-13-45: 1}  !!timestamp x  !!timestamp ""
!!timestamp []  !!timestamp 2001-99-99  !!int foo  !!int ""  !!int []  !!int {}  !!int 1:99  !!int 0x  !!int -
!!int .nan  !!float x  !!float []  !!float ""  !!bool maybe  !!bool ""  !!bool []  !!null x  !!null []  !!binary x
!!binary "===="  !!binary []  !!binary aGVsbG8=  !!binary é  !!set {a, b}  !!set [a]  !!set {[]}  !!omap [a]
!!omap [{a: 1, b: 2}]  !!omap x  !!pairs [a]  !!pairs {}  !!seq {}  !!seq x  !!map []  !!map x  !!str []  !!str 1
!!merge x  !!value =  !foo  !foo bar  !<x> y  !<tag:yaml.org,2002:int> x  !<>  !<!>  !!  !!foo bar  ! x  !%41 x  !e!x y
!!python/none x  !!python/tuple [1]  !!python/name:os.system x  !!python/module:os x
!!python/object/apply:os.system ["touch canary"]  !!python/object/apply:os.mkdir [canary]
!!python/object/new:os.system ["touch canary"]  !!python/object:pathlib.Path {}
!!python/object/apply:builtins.eval ["open('canary', 'w')"]
!!python/object/apply:subprocess.check_output [[touch, canary]]  !!ruby/object:x {}  !!js/function "x"  {[a]: b}
{{a: b}: c}  {? [1, 2] : 3}  {? {a: b} : 3}  {null: 1}  {.nan: 1}  {1: 1, 1: 2}  {a: 1, a: 2}  {<<: 1}  {<<: [1]}
{<<: {a: 1}}  {<<: null}  {<<: [{a: 1}, 2]}  {<<: {<<: {<<: {}}}}  &a [*a]  &a {b: *a}  &a {<<: *a}  &a {*a : 1}
*undefined  &a  &a x  [&a x, *a, *a]  [&a [1], &a [2], *a]  [*a, &a 1]  &a &b x  &a *a  ConvNet  resnet-32  ResNet-32
TwoLayerNet  [ConvNet]  focal  [focal, nope]  [focal, 1]  sigmoid_focal  one_cycle  steps  weights  float32  float64
auto  train  published  nope  [nope]  [as stated]  [as stated, as stated]  [[as stated]]  sample  [[0.01, 32]]
[[0.01, 32, 0, 0]]  [[0.01, 32, -1]]  [[0.01, 0, 0]]  [[.nan, 32, 0]]  [[[0.01, 32, 0]]]  [[1, 2, 3], 4]  [8, 6]  [6, 6]
[1.5]  [six]  ["6", "8"]  [999999999999]  "007"  '1e3'  '0x1F'  '１２'  '²'  "1\n2"  " 1 "  tcp://h:1  127.0.0.1:8786
/dev/zero  /dev/stdin  ../../etc/passwd  $HOME  `id`  $(id)  <b>x</b>  <script>alert(1)</script>  ![x](/etc/passwd)
{{7*7}}  %s  %n  {0.__class__}  é  ß  日本  𝟙𝟚  ñ́  \u202e  \x00  [a, b, c, d, e, f, g]
"""
#: Large values: a|b|c|d|e stands for a, n times b, c, n times d, e.
LARGE = r"""
|9|||  -|9|||  0x|f|||  0b|1|||  0o|7|||  0.|3|||  1|_0|||  1|:59|||  1e|9|||  |0|||  .|0|1||  |9|.5||  |9|e1||  |x|||
"|x|"||  |[|||  |{a: |||  |[||]|  |{a: |1|}|  |[|.nan|]|  |- |1||  |? |1||  |!!int |1||  |&a |||  |'|||  !!|t| x||
[|1, |]||  [|x, |]||  {|a: 1, |}||  {? |k| : 1}||  {? |[|1|]|}  "|\n|"||  "|\e|"||  "|\u202e|"||  |#|||  |%|||  |*a|||
|a: &a |||  [&x |[|*x|]|]  [&a [x, x, x], |[*a, *a], |]||
"""
#: Structures, two blanks apart, in which FILE is a parameter file and VALUE is such a value.
STRUCTURES = r"""
#  ---  ---\n---  ...  null  {}  []  VALUE  - VALUE  ? VALUE  --- VALUE  FILE\n---\nFILE  FILE\nFILE  %FILE  [FILE]
{FILE}  - FILE  a:\nFILE  FILE- x\n  <<: VALUE\nFILE  FILE\n<<: VALUE  &a\nFILE\nloss: *a  ? FILE  "FILE"  'FILE'
|\nFILE  !!set\nFILE  --- !!python/object/apply:os.system ["touch canary"]  FILE\n!!int x: VALUE  FILE\nunknown: VALUE
FILE\n: VALUE  FILE\n? VALUE
"""
#: Insertions: no UTF-8, marks of byte order, NUL, line ends, control and bidirectional characters, and YAML's own.
BYTES = rb"""
\xff \xc3 \xed\xa0\x80 \xf4\x90\x80\x80 \xc0\x80 \x80\x80 \xef\xbb\xbf \xff\xfe \x00 \x00\x00\x00\x00 \r \r\n \x0b \x0c
\x1b[2J \x07 \x08 \x7f \t \x1a \xc2\x85 \xc2\xa0 \xe2\x80\xa8 \xe2\x80\xae \xe2\x81\xa6 \xe2\x80\x8b \xef\xbf\xbe
\xf0\x9f\x99\x82 \n---\n \n...\n %YAML\x209.9\n---\n %TAG\x20!\x20tag:x,1:\n---\n \n-\x20 :\x20 \x20# \n\x20\x20 * & ! "
'
"""


class Mutant(NamedTuple):
    profile: str
    notebook: str
    content: bytes  # of the parameter file
    options: list[str]  # NAME=VALUE, of the command line; where there are any, the file is as shipped


@cache
def _shipped():
    return {(f.parent.name, f.stem): f.read_bytes() for f in sorted(paths.PARAMS.glob("*/*.yaml"))}


@cache
def _listed(text):
    return [each for line in text.strip().splitlines() for each in line.split("  ") if each]


@cache
def _inserted():
    return [each.decode("unicode_escape").encode("latin-1") for each in BYTES.split()]


def mutant(number):
    """Mutant of this number: one in seven is a command line, the others are files."""
    rng = random.Random(f"mutant {number}")
    (profile, notebook), content = rng.choice(list(_shipped().items()))
    names = re.findall(r"^(\w+):", content.decode(), re.MULTILINE)
    if number % 7 == 0:
        options = [f"{rng.choice(names)}={_value(rng)}" for _ in range(rng.choice((1, 1, 1, 2, 5)))]
        return Mutant(profile, notebook, content, [_spoil_text(rng, option) for option in options])
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        content = rng.choice((_spoil_bytes, _spoil_value, _spoil_value, _spoil_structure))(rng, content, names)
    return Mutant(profile, notebook, content, [])


def _value(rng):
    """A spelling from the list, or something too large, too deep, or referred to too often."""
    if rng.random() < 0.8:
        return rng.choice(_listed(SPELLINGS))
    if rng.random() < 0.1:  # a billion laughs, or a thousand
        levels = range(rng.choice((3, 6, 9)))
        return f"[&x0 [x, x], {', '.join(map(_laugh, levels))}]"
    before, each, middle, closing, after = rng.choice(_listed(LARGE)).split("|")
    n = rng.choice((10, 100, 400, 900, 1_100, 4_400, 5_000, 10**6 if each == "x" else 20_000))
    return before + each * n + middle + closing * n + after


def _laugh(k):
    return f"&x{k + 1} [{', '.join([f'*x{k}'] * 9)}]"


def _spoil_text(rng, option):
    """A command line's words can hold anything but NUL; one in three is changed in one place."""
    place = rng.randrange(len(option) + 1)
    inserted = rng.choice(_inserted()).decode(errors="surrogateescape").replace("\0", "")
    return option[:place] + inserted + option[place:] if rng.random() < 0.3 else option


def _spoil_bytes(rng, content, names):
    start = rng.randrange(len(content) + 1)
    end = min(len(content), start + int(rng.paretovariate(0.7)))
    before, part, after = content[:start], content[start:end], content[end:]
    other = rng.choice(list(_shipped().values()))
    flipped = bytearray(content or b"x")
    for _ in range(rng.choice((1, 2, 9))):
        flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
    text, encoding = (
        content.decode(errors="replace"),
        rng.choice(("utf-16", "utf-16-le", "utf-32", "utf-8-sig", "utf-7")),
    )
    changed = [
        bytes(flipped),
        before + after,
        before + part * rng.choice((2, 9)) + after,
        before,
        text.encode(encoding),
    ]
    changed += [before + other[rng.randrange(len(other)) :], rng.randbytes(rng.choice((1, 9, 999)))]
    changed += [content.replace(b"\n", rng.choice((b"\r", b"\r\n", b"\n\n", b"\0", b" ", b"\n\t")))]
    changed += [before + rng.choice(_inserted()) * rng.choice((1, 1, 9)) + part + after for _ in range(4)]
    return rng.choice(changed)


def _spoil_value(rng, content, names):
    """Give a parameter another value, or add a line."""
    lines, value = content.split(b"\n"), _value(rng).encode()
    place = rng.choice([n for n, line in enumerate(lines) if re.match(rb"\w+:", line)] or [0])
    name = lines[place].split(b":")[0] if rng.random() < 0.8 else rng.choice(names).encode()
    if rng.random() < 0.8:
        lines[place] = name + b": " + value
    else:
        other = rng.choice([name, name, b"<<", b"? " + value, b"k" * 100_000, b"", b"- a", value[:999]])
        lines.insert(place, other + b": " + value)
    return b"\n".join(lines)


def _spoil_structure(rng, content, names):
    """A file that is not one mapping of names to values, or one in which each value refers nine times to the last."""
    if rng.random() < 0.1:
        values = map(_laugh, range(rng.choice((3, 6, 9))))
        lines = ["headless: &x0 lol", *(f"{name}: {value}" for name, value in zip(names[1:], values, strict=False))]
        return "\n".join(lines).encode()
    structure = rng.choice(_listed(STRUCTURES)).replace(r"\n", "\n").encode()
    return structure.replace(b"VALUE", _value(rng).encode()).replace(b"FILE", content)
