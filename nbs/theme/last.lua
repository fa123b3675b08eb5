-- After Quarto's own filters: TeX is left for equations.ts, an equation's tag is its anchor, a table scrolls in its own box.
return {{
  Math = function(m)
    local shown = m.mathtype == 'DisplayMath'
    local tag = m.text:match('\\tag{([%w.]+)}')
    local tex = m.text:gsub('&', '&amp;'):gsub('<', '&lt;'):gsub('>', '&gt;')
    if not shown then return pandoc.RawInline('html', '<span class="math inline">\\(' .. tex .. '\\)</span>') end
    local id = tag and ' id="eq-' .. tag .. '"' or ''
    return pandoc.RawInline('html', '<span class="math display"' .. id .. '>\\[' .. tex .. '\\]</span>')
  end,
  Table = function(t) return pandoc.Div({t}, {class='scroll'}) end,
}}
