# Flattens the YAML that seeds are written in to lines of "path TAB value": maps and sequences in block or flow style, plain,
# quoted, literal and folded scalars, continuation lines. Sequence items are counted from 0. Line breaks in values become \n
# and backslashes are doubled, so that printf %b restores them. No anchors, tags or several documents.
function emit(path, value) {
  gsub(/\\/, "\\\\", value)
  gsub(/\n/, "\\n", value)
  print path "\t" value
}
function indent_of(s) { match(s, /^ */); return RLENGTH }
function blank(s) { return s ~ /^[ \t]*(#.*)?$/ }
function next_line() { while (at <= count && blank(line[at])) at++; return at <= count }
function join_path(path, key) { return path == "" ? key : path "." key }
function repeat(n,   s) { s = ""; while (n-- > 0) s = s " "; return s }

function block(indent, path,   text, k, seq, item, key, rest) {
  item = 0
  if (!next_line()) return
  seq = substr(line[at], indent + 1) ~ /^-( |$)/
  while (next_line()) {
    k = indent_of(line[at])
    text = substr(line[at], k + 1)
    if (k != indent || (text ~ /^-( |$)/) != seq) return
    if (seq) {
      rest = text
      match(rest, /^-[ ]*/)
      k = RLENGTH
      rest = substr(rest, k + 1)
      node(rest, indent, indent + k, join_path(path, item++))
    } else {
      if (!match(text, /^("[^"]*"|'[^']*'|[^"'[{#&*!|>][^:]*(:[^ :][^:]*)*)[ ]*:( |$)/)) { at++; continue }
      key = substr(text, 1, RLENGTH)
      rest = substr(text, RLENGTH + 1)
      sub(/[ ]*:[ ]*$/, "", key)
      gsub(/^["']|["']$/, "", key)
      sub(/^ +/, "", rest)
      at++
      if (blank(rest)) {
        if (next_line() && (indent_of(line[at]) > indent || (indent_of(line[at]) == indent && line[at] ~ /^ *-( |$)/)))
          block(indent_of(line[at]), join_path(path, key))
        else emit(join_path(path, key), "")
      } else scalar(rest, indent, join_path(path, key))
    }
  }
}
# What follows a dash: nothing (a block below), a nested block on the same line, or a scalar.
function node(rest, indent, column, path) {
  if (blank(rest)) {
    at++
    if (next_line() && indent_of(line[at]) > indent) block(indent_of(line[at]), path)
  } else if (rest ~ /^-( |$)/ || rest ~ /^("[^"]*"|'[^']*'|[^"'[{#&*!|> ][^: ]*)[ ]*:( |$)/) {
    line[at] = repeat(column) rest
    block(column, path)
  } else {
    at++
    scalar(rest, indent, path)
  }
}
function scalar(text, indent, path,   c) {
  c = substr(text, 1, 1)
  if (c == "|" || c == ">") literal(text, indent, path)
  else if (c == "\"" || c == "'") emit(path, quoted(text, c))
  else if (c == "[" || c == "{") {
    flow_text = text
    while (open_brackets(flow_text) > 0 && at <= count) flow_text = flow_text " " line[at++]
    flow(path)
  } else {
    sub(/[ \t]+#.*$/, "", text)
    while (at <= count && !blank(line[at]) && indent_of(line[at]) > indent) {
      rest_of_line = line[at++]
      sub(/^ +/, "", rest_of_line)
      text = text " " rest_of_line
    }
    sub(/[ \t\r]+$/, "", text)
    emit(path, (text == "~" || text == "null") ? "" : text)
  }
}
function literal(text, indent, path,   fold, strip, keep, base, out, s, pending, any, spaced, was_spaced) {
  fold = substr(text, 1, 1) == ">"
  strip = text ~ /^.[0-9]*-/
  keep = text ~ /^.[0-9]*\+/
  base = -1
  if (match(text, /[0-9]/)) base = (indent < 0 ? 0 : indent) + substr(text, RSTART, 1)
  out = ""; pending = 0; any = 0; was_spaced = 0
  while (at <= count) {
    s = line[at]
    if (s ~ /^ *$/ && (base < 0 || length(s) <= base)) { pending++; at++; continue }
    if (indent_of(s) <= indent) break
    if (base < 0) base = indent_of(s)
    s = substr(s, base + 1)
    spaced = s ~ /^[ \t]/ # lines that are indented further are not folded
    if (!any) out = breaks(pending) s
    else if (!fold || spaced || was_spaced) out = out breaks(pending + 1) s
    else out = out (pending == 0 ? " " : breaks(pending)) s
    was_spaced = spaced; pending = 0; any = 1; at++
  }
  if (!strip && any) out = out "\n"
  if (keep) out = out breaks(pending)
  emit(path, out)
}
function breaks(n,   s) { s = ""; while (n-- > 0) s = s "\n"; return s }
# A quoted scalar, over as many lines as it takes; sets `after` to what follows it.
function quoted(text, quote,   out, i, c, n, more) {
  out = ""; i = 2
  while (1) {
    if (i > length(text)) {
      if (at > count) break
      more = line[at++]
      sub(/^ +/, "", more)
      if (joined) { joined = 0 } else { sub(/ +$/, "", out); out = out (more == "" ? "\n" : " ") }
      text = more; i = 1
      continue
    }
    c = substr(text, i, 1)
    if (c == quote) {
      if (quote == "'" && substr(text, i + 1, 1) == "'") { out = out "'"; i += 2; continue }
      after = substr(text, i + 1)
      return out
    }
    if (c == "\\" && quote == "\"") {
      n = substr(text, i + 1, 1)
      if (n == "") { joined = 1; i++; continue }
      if (n == "n") n = "\n"
      else if (n == "t") n = "\t"
      else if (n == "r") n = "\r"
      out = out n; i += 2
      continue
    }
    out = out c; i++
  }
  after = ""
  return out
}
function open_brackets(s,   i, c, q, depth) {
  depth = 0; q = ""
  for (i = 1; i <= length(s); i++) {
    c = substr(s, i, 1)
    if (q != "") { if (c == "\\" && q == "\"") i++; else if (c == q) q = "" }
    else if (c == "\"" || c == "'") q = c
    else if (c == "[" || c == "{") depth++
    else if (c == "]" || c == "}") depth--
  }
  return depth
}
# Reads one flow value from flow_text and emits it under path.
function flow(path,   c, n, key) {
  sub(/^[ \t]+/, "", flow_text)
  c = substr(flow_text, 1, 1)
  if (c == "[" || c == "{") {
    flow_text = substr(flow_text, 2)
    n = 0
    while (1) {
      sub(/^[ \t,]+/, "", flow_text)
      if (flow_text == "" || flow_text ~ /^[]}]/) { flow_text = substr(flow_text, 2); return }
      if (c == "[") { flow(join_path(path, n++)); continue }
      key = flow_word(":")
      sub(/^[ \t]*:/, "", flow_text)
      flow(join_path(path, key))
    }
  }
  emit(path, flow_word("[,\\]}]"))
}
function flow_word(stop,   c, word, i) {
  sub(/^[ \t]+/, "", flow_text)
  c = substr(flow_text, 1, 1)
  if (c == "\"" || c == "'") { word = quoted(flow_text, c); flow_text = after; return word }
  for (i = 1; i <= length(flow_text); i++) {
    c = substr(flow_text, i, 1)
    if (stop == ":" ? (c == ":") : (c ~ /[],}]/)) break
  }
  word = substr(flow_text, 1, i - 1)
  flow_text = substr(flow_text, i)
  sub(/[ \t]+$/, "", word)
  return word
}
{ sub(/\r$/, ""); line[NR] = $0 }
END {
  count = NR; at = 1
  if (line[1] ~ /^---/) line[1] = ""
  if (!next_line()) exit
  if (line[at] ~ /^[[{]/) { scalar(line[at++], -1, ""); exit }
  block(indent_of(line[at]), "")
}
