-- Tables as pandas writes them: tidied for both forms, and written for Typst.

local LONG = 32 -- characters; a column with a longer cell is prose and may wrap
local FILLERS = { [""] = true, ["–"] = true, ["—"] = true, ["-"] = true, nan = true, NaN = true, ["n/a"] = true }

local tables = {}

local function text_of(content)
  local text = pandoc.utils.stringify(content):gsub("\u{a0}", " ")
  return (text:gsub("^%s+", ""):gsub("%s+$", ""))
end

-- What stands before the first line break: "41.8<br><small>published 41.0</small>" is a number.
local function first_line(cell)
  local block = cell.contents[1]
  if not block or not block.content then
    return text_of(cell.contents)
  end
  local line = pandoc.Inlines {}
  for _, inline in ipairs(block.content) do
    if inline.t == "LineBreak" then
      break
    end
    line:insert(inline)
  end
  return text_of(line)
end

local function is_number(text)
  for _, sign in ipairs { "−", "–", "±", "×" } do -- not one byte each, so no character class
    text = text:gsub(sign, "")
  end
  return text:find("%d") ~= nil and text:find("^[%d%s.,%%+()%[%]/e-]+$") ~= nil
end

-- Calls visit(cell, column) for the cells of some rows, minding cells that span rows and columns.
local function each_cell(rows, visit)
  local open = {} -- column -> rows that a cell from above still covers
  for index, row in ipairs(rows) do
    local column = 1
    for _, cell in ipairs(row.cells) do
      while (open[column] or 0) > 0 do
        open[column] = open[column] - 1
        column = column + 1
      end
      visit(cell, column, index)
      for covered = column, column + cell.col_span - 1 do
        open[covered] = cell.row_span - 1
      end
      column = column + cell.col_span
    end
    for rest, rows_left in pairs(open) do
      if rest >= column and rows_left > 0 then
        open[rest] = rows_left - 1
      end
    end
  end
end

local function body_rows(element)
  local rows = pandoc.List {}
  for _, body in ipairs(element.bodies) do
    rows:extend(body.head)
    rows:extend(body.body)
  end
  rows:extend(element.foot.rows)
  return rows
end

-- pandas puts the names of the index in a header row of their own: they move up into the empty cells.
local function merge_index_names(head)
  local rows = head.rows
  local names, above = rows[#rows], rows[#rows - 1]
  if not above or #names.cells ~= #above.cells then
    return
  end
  for position, cell in ipairs(names.cells) do
    if text_of(cell.contents) ~= "" and text_of(above.cells[position].contents) ~= "" then
      return
    end
  end
  for position, cell in ipairs(names.cells) do
    if text_of(cell.contents) ~= "" then
      above.cells[position].contents = cell.contents
    end
  end
  rows:remove(#rows)
  head.rows = rows
end

-- Columns of numbers are aligned to the right, together with their heading; widths are left to the form.
function tables.tidy(element)
  local rows = body_rows(element)
  local numbers, words = {}, {}
  each_cell(rows, function(cell, column)
    local text = first_line(cell)
    if is_number(text) then
      numbers[column] = true
    elseif not FILLERS[text] then
      words[column] = true
    end
  end)
  for column, spec in ipairs(element.colspecs) do
    local align = spec[1]
    if align == "AlignDefault" then
      align = (numbers[column] and not words[column]) and "AlignRight" or "AlignLeft"
    end
    element.colspecs[column] = { align, nil }
  end
  merge_index_names(element.head)
  for _, row in ipairs(element.head.rows) do
    for _, cell in ipairs(row.cells) do
      cell.alignment = cell.col_span > 1 and "AlignCenter" or "AlignDefault"
    end
  end
end

local TYPST_ALIGN = { AlignLeft = "left", AlignRight = "right", AlignCenter = "center" }

local function typst_cell(cell, write)
  local options = {}
  if cell.col_span > 1 then
    options[#options + 1] = "colspan: " .. cell.col_span
  end
  if cell.row_span > 1 then
    options[#options + 1] = "rowspan: " .. cell.row_span
  end
  if TYPST_ALIGN[cell.alignment] then
    options[#options + 1] = "align: " .. TYPST_ALIGN[cell.alignment]
  end
  return "table.cell(" .. table.concat(options, ", ") .. ")[" .. write(cell.contents) .. "]"
end

local function typst_rows(rows, write)
  local cells = {}
  each_cell(rows, function(cell)
    cells[#cells + 1] = typst_cell(cell, write)
  end)
  return cells
end

-- A thin rule under each heading that spans columns.
local function header_rules(head)
  local rules = {}
  each_cell(head.rows, function(cell, column, row)
    if cell.col_span > 1 and text_of(cell.contents) ~= "" and row < #head.rows then
      rules[#rules + 1] = ("table.hline(y: %d, start: %d, end: %d, stroke: 0.4pt)"):format(
        row, column - 1, column - 1 + cell.col_span)
    end
  end)
  return rules
end

local function array(items)
  return #items == 0 and "()" or "(" .. table.concat(items, ", ") .. ",)"
end

-- The call of `data-table` in style.typ; `write` turns blocks into Typst markup.
function tables.typst(element, write)
  local rows = body_rows(element)
  local aligns, long = {}, {}
  for column, spec in ipairs(element.colspecs) do
    aligns[column] = TYPST_ALIGN[spec[1]] or "left"
  end
  local longest = {}
  each_cell(rows, function(cell, column)
    if cell.col_span == 1 then
      longest[column] = math.max(longest[column] or 0, utf8.len(text_of(cell.contents)))
    end
  end)
  for column = 1, #aligns do
    if (longest[column] or 0) > LONG then
      long[#long + 1] = tostring(column - 1)
    end
  end
  return ("#data-table(\n  aligns: %s,\n  long: %s,\n  header-rows: %d,\n  rules: %s,\n  header: %s,\n  body: %s,\n)"):format(
    array(aligns), array(long), #element.head.rows, array(header_rules(element.head)),
    array(typst_rows(element.head.rows, write)), array(typst_rows(rows, write)))
end

return tables
