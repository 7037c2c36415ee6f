# Splits a MIME multipart document into dir/NN.NAME (NN.NAME.b64 when the part is base64). NAME is the part's file name.
function value_of(header, name,   s) {
  if (!match(header, name "=\"?[^\";]*")) return ""
  s = substr(header, RSTART, RLENGTH)
  sub(name "=\"?", "", s)
  return s
}
function finish_header() {
  name = value_of(header, "filename")
  gsub(/[^A-Za-z0-9._-]/, "_", name)
  if (name == "") name = "part"
  out = sprintf("%s/%02d.%s%s", dir, ++parts, name, tolower(header) ~ /content-transfer-encoding: *base64/ ? ".b64" : "")
  printf "" >out
  state = "body"
  skip_blank = 0
}
{ sub(/\r$/, "") }
boundary == "" {
  if ($0 == "") { boundary = "--" value_of(header, "boundary"); state = "between"; header = "" }
  else header = header " " $0
  next
}
index($0, boundary) == 1 {
  if (out != "") close(out)
  out = ""
  if (substr($0, length(boundary) + 1, 2) == "--") exit
  state = "header"
  header = ""
  next
}
state == "header" {
  if ($0 == "") finish_header()
  else header = header " " $0
  next
}
state == "body" { print >out }
