--[[ What every page gets, before Quarto's own filters see it:
  - its number, that of its folder and of its file: 1_paper/02_x.ipynb is 1.2, and its equations are 1.2.1, 1.2.2;
  - code in three weights: exported source stands open unless it is long, imports and what draws a figure or a table are folded, checks are small;
  - an exported thing documented once: signature and docstring stand in the source, if that follows; every name in it is an anchor;
  - "eq. 4" as a link to the equation with \tag{4}, on whichever page it is;
  - links to this site's own address made relative. ]]
local root = quarto.project.directory
local page = pandoc.path.make_relative(quarto.doc.input_file, root)
local folder = pandoc.path.directory(page)

local function read(path)
  local f = io.open(path)
  if not f then return '' end
  local text = f:read('a'); f:close()
  return text
end

local function notebooks(dir)
  local found = {}
  for _, name in ipairs(pandoc.system.list_directory(pandoc.path.join{root, dir})) do
    if name:match('%.ipynb$') then table.insert(found, name) end
  end
  table.sort(found)
  return found
end

-- 2_library/14_fast.ipynb is 2.14; of several notebooks with one number the second is 2.14b
local function number()
  local part, n = folder:match('^(%d+)_'), pandoc.path.filename(page):match('^(%d+)_')
  if not (part and n) then return end
  local before = 0
  for _, name in ipairs(notebooks(folder)) do
    if name == pandoc.path.filename(page) then break end
    if name:match('^(%d+)_') == n then before = before + 1 end
  end
  return part .. '.' .. tonumber(n) .. (before > 0 and string.char(97 + before) or '')
end

local pages_of = {}   -- tag of an equation -> page
for _, dir in ipairs(pandoc.system.list_directory(root)) do
  if dir == '.' or dir:match('^%d+_[^.]*$') then
    for _, name in ipairs(notebooks(dir)) do
      local path = dir .. '/' .. name
      for tag in read(pandoc.path.join{root, path}):gmatch('\\\\tag{([%w.]+)}') do pages_of[tag] = path end
    end
  end
end
for _, name in ipairs(notebooks('.')) do
  for tag in read(pandoc.path.join{root, name}):gmatch('\\\\tag{([%w.]+)}') do pages_of[tag] = name end
end
local site = read(pandoc.path.join{root, 'nbdev.yml'}):match('site%-url: "(.-)"')

local function equation(tag)
  local target = pages_of[tag] == page and '' or '/' .. (pages_of[tag] or '')
  return pages_of[tag] and target .. '#eq-' .. tag
end

-- "eq. 4, 5" and "eq. P and S": every tag after "eq." that some equation has; the first link holds "eq." too
local function references(inlines)
  local out, expected, first = pandoc.Inlines{}, false, nil
  for _, el in ipairs(inlines) do
    local space = el.t == 'Space' or el.t == 'SoftBreak'
    local tag, after = (el.text or ''):match("^([%w.]*%w)(.*)$")
    if el.t == 'Str' and el.text:match('[Ee]q%.$') then expected, first = true, #out + 1
    elseif expected and el.t == 'Str' and tag and equation(tag) then
      local text = pandoc.Inlines{}
      while first and #out >= first do text:insert(1, out:remove()) end
      local open = text[1] and text[1].text:match('^(.-)[Ee]q%.$') or ''
      if open ~= '' then out:insert(pandoc.Str(open)); text[1] = pandoc.Str(text[1].text:sub(#open + 1)) end
      text = text:map(function(t) return (t.t == 'Space' or t.t == 'SoftBreak') and pandoc.Str('\u{a0}') or t end)
      text:insert(pandoc.Str(tag))
      out:insert(pandoc.Link(text, equation(tag)))
      el, first = pandoc.Str(after), nil
      expected = after == '' or after == ','
    elseif not space and el.text ~= 'and' then expected = false end
    if el.text ~= '' then out:insert(el) end
  end
  return out
end

local function is_import(code)
  local depth = 0
  for line in code:gmatch('[^\n]+') do
    if depth == 0 and not (line:match('^import ') or line:match('^from ') or line:match('^#') or line:match('^%s*$')) then return false end
    for c in line:gmatch('[()]') do depth = depth + (c == '(' and 1 or -1) end
  end
  return true
end

local function is_check(code)
  local checks, lines = 0, 0
  for line in code:gmatch('[^\n]+') do
    lines = lines + 1
    if line:match('^%s*assert') or line:match('^%s*with expect_fail') or line:match('^%s*test_') then checks = checks + 1 end
  end
  return checks > 0 and 2*checks >= lines
end

local function shows(cell, what)
  local found = false
  cell:walk{[what] = function() found = true end}
  return found
end

local function source(cell)
  local code
  if cell.t == 'Div' and cell.classes:includes('cell') then
    cell:walk{CodeBlock = function(c) if c.classes:includes('cell-code') then code = code or c end end}
  end
  return code
end

local LONG = 40    -- lines of a source that nobody reads from top to bottom
local function is_long(code) return select(2, code.text:gsub('\n', '')) >= LONG end

-- Functions, classes and methods that stand in a source, as nbdev names their entries: "calm", "calm.fit"
local function named(code)
  local found, class = pandoc.List{}, nil
  for line in code:gmatch('[^\n]+') do
    if line:match('^%S') and not line:match('^[%])]') then class = line:match('^class ([%a][%w_]*)') end
    local method = class and line:match('^    def ([%a][%w_]*)')
    local name, of = line:match('^def ([%a][%w_]*)'), line:match('^def [%w_]+%(self%s*:%s*([%a][%w_]*)')
    if line:match('^class ') then name = class elseif method then name, of = method, class end
    if name then found:insert(((of and of .. '.' or '') .. name):lower()) end
  end
  return found
end

local function weigh(cell, taken)
  local code = source(cell)
  if not code then return end
  local exported = code.attributes['code-summary'] == 'Exported source'
  local fold = code.attributes['code-fold'] and not exported
  local summary
  if is_import(code.text) then summary = 'Imports'
  elseif exported or fold then summary = nil
  elseif shows(cell, 'Image') then summary = 'Code of the figure'
  elseif shows(cell, 'Table') then summary = 'Code of the table'
  elseif is_check(code.text) then cell.classes:insert('check') end
  if exported then    -- what has no heading of its own can still be linked to
    for _, name in ipairs(named(code.text)) do
      if not taken[name] then cell.content:insert(1, pandoc.Plain{pandoc.Span({}, {id=name})}); taken[name] = true end
    end
  end
  return cell:walk{CodeBlock = function(c)
    if not c.classes:includes('cell-code') then return end
    if exported then
      c.classes:insert('exported')
      c.attributes['code-fold'], c.attributes['code-summary'] = nil, nil
      if is_long(c) then c.attributes['code-fold'], c.attributes['code-summary'] = 'true', 'Source' end
    end
    if summary then c.attributes['code-fold'], c.attributes['code-summary'] = 'true', summary end
    return c
  end}
end

local function defines(block, name)
  local code = block and source(block)
  if not code or code.attributes['code-summary'] ~= 'Exported source' or is_long(code) then return false end
  local plain = name:match('[%w_]+$')
  return code.text:find('def ' .. plain .. '%s*%(') ~= nil or code.text:find('class ' .. plain .. '%f[^%w_]') ~= nil
end

-- nbdev's entry is a rule, a link to the source, a heading, a signature, and the docstring; then may come the source
local function once(blocks)
  local kept = pandoc.Blocks{}
  local i = 1
  while i <= #blocks do
    local b, code = blocks[i], blocks[i+1]
    kept:insert(b)
    if b.t == 'Header' and i > 1 and pandoc.utils.stringify(blocks[i-1]) == 'source' and code and code.t == 'CodeBlock' then
      b.classes:insert('entry')
      code.text = code.text:gsub('([:| %[])__main__%.', '%1'):gsub('=<factory>', '=...'):gsub('%[`([^`\n]+)`%]%(https?://[^)\n]+%)', '%1')
      local j = i + 1
      while blocks[j] and not (blocks[j].t == 'Div' and blocks[j].classes:includes('cell')) and blocks[j].t ~= 'Header' and blocks[j].t ~= 'HorizontalRule' do j = j + 1 end
      local k = j
      while blocks[k] and source(blocks[k]) and is_import(source(blocks[k]).text) do k = k + 1 end
      if defines(blocks[k], pandoc.utils.stringify(b)) then i = j - 1 end
    end
    i = i + 1
  end
  return kept
end

return {
  {Meta = function(meta)
    local n = number()
    if n and meta.title then meta.title = pandoc.Inlines{pandoc.Span({pandoc.Str(n)}, {class='chapter-number'}), pandoc.Space()} .. pandoc.Inlines(meta.title) end
    return meta
  end},
  {Pandoc = function(doc)
    doc.blocks = once(doc.blocks)
    local taken = {}
    doc:walk{Header = function(h) taken[h.identifier] = true end}
    doc.blocks = doc.blocks:map(function(b) return weigh(b, taken) or b end)
    return doc
  end},
  {traverse = 'topdown',
   Header = function(h) return h, false end,
   Link = function(link)
     if site and link.target:sub(1, #site) == site then link.target = link.target:sub(#site + 1) end
     return link, false
   end,
   Inlines = references},
}
