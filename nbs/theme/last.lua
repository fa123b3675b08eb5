-- After Quarto's own filters: TeX is left for equations.ts, an equation's tag is its anchor, a table scrolls in its own box.
local function is_number(cell)
  local text = pandoc.utils.stringify(cell.contents)
  return text:match('^[%d%s.,:/+%-−±×%%]*$') ~= nil, text:match('%d') ~= nil
end

-- Columns as wide as what stands in them needs (pandoc gives those of long tables equal widths); numbers to the right
local function columns(t)
  local plain, some = {}, {}
  for _, body in ipairs(t.bodies) do
    for _, row in ipairs(body.body) do
      for j, cell in ipairs(row.cells) do
        local number, digit = is_number(cell)
        plain[j], some[j] = plain[j] ~= false and number, some[j] or digit
      end
    end
  end
  for j, spec in ipairs(t.colspecs) do
    local align = plain[j] and some[j] and pandoc.AlignRight or pandoc.AlignLeft
    t.colspecs[j] = {spec[1] == pandoc.AlignDefault and align or spec[1], nil}
  end
end

return {{
  Math = function(m)
    local shown = m.mathtype == 'DisplayMath'
    local tag = m.text:match('\\tag{([%w.]+)}')
    local tex = m.text:gsub('&', '&amp;'):gsub('<', '&lt;'):gsub('>', '&gt;')
    if not shown then return pandoc.RawInline('html', '<span class="math inline">\\(' .. tex .. '\\)</span>') end
    local id = tag and ' id="eq-' .. tag .. '"' or ''
    return pandoc.RawInline('html', '<span class="math display"' .. id .. '>\\[' .. tex .. '\\]</span>')
  end,
  Table = function(t)
    columns(t)
    return pandoc.Div({t}, {class='scroll'})
  end,
}}
