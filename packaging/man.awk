# awk -v out=FOLDER -v version=VERSION -f man.awk include/xmpp_close.h: writes the manual pages of the C API. xmpp_close(3) has the
# comments that introduce the header and its sections; each function, struct and enum has a page of its own.

# A line of prose as roff: *word* is emphasis, `code` is code.
function prose(line) {
    gsub(/\\/, "\\e", line); gsub(/-/, "\\-", line)
    while (match(line, /`[^`]+`/)) line = substr(line, 1, RSTART - 1) "\\fB" substr(line, RSTART + 1, RLENGTH - 2) "\\fR" substr(line, RSTART + RLENGTH)
    while (match(line, /\*[a-z][a-z ]*\*/)) line = substr(line, 1, RSTART - 1) "\\fI" substr(line, RSTART + 1, RLENGTH - 2) "\\fR" substr(line, RSTART + RLENGTH)
    return safe(line)
}
function code(line) { gsub(/\\/, "\\e", line); gsub(/-/, "\\-", line); return safe(line) }
# A line of text must not look like a request.
function safe(line) { return line ~ /^[.']/ ? "\\&" line : line }

# The text of a comment, line by line, from its first one on.
function body(lines, first, count, heads,    i, text, verbatim, item) {
    text = ""; verbatim = item = 0
    for (i = first; i <= count; i++) {
        if (lines[i] ~ /^   /) { if (!verbatim) text = text ".PP\n.RS 4\n.nf\n"; verbatim = 1; text = text code(substr(lines[i], 4)) "\n" }
        else if (verbatim && lines[i] == "" && lines[i + 1] ~ /^   /) text = text "\n"
        else {
            if (verbatim) text = text ".fi\n.RE\n"
            verbatim = 0
            if (lines[i] == "") { text = text (item ? "" : ".PP\n"); item = 0 }
            else if (lines[i] ~ /^- /) { text = text ".IP \\(bu 2\n" prose(substr(lines[i], 3)) "\n"; item = 1 }
            else if (item && lines[i] ~ /^  /) text = text prose(substr(lines[i], 3)) "\n"
            else if (heads && lines[i - 1] == "" && lines[i + 1] == "" && lines[i] !~ /[.,:]$/) text = text ".SS " lines[i] "\n"
            else text = text prose(lines[i]) "\n"
        }
    }
    return text (verbatim ? ".fi\n.RE\n" : "")
}
# The first sentence, for the NAME of a page: without a full stop, and with a small letter where it begins with a plain word.
function brief(lines, count,    i, text) {
    for (i = 1; i <= count && lines[i] != ""; i++) text = text (i > 1 ? " " : "") lines[i]
    if (match(text, /[.] /)) text = substr(text, 1, RSTART - 1)
    sub(/\.$/, "", text)
    gsub(/[`*]/, "", text)
    return text ~ /^[A-Z][a-z ]/ ? tolower(substr(text, 1, 1)) substr(text, 2) : text
}
function head(name, about) {
    return ".TH " name " 3 \"\" \"xmpp-close " version "\" \"Library Functions Manual\"\n.SH NAME\n" name " \\- " code(about) "\n"
}
function page(name, about, synopsis, text,    file) {
    file = out "/" name ".3"
    printf "%s.SH SYNOPSIS\n.nf\n.B #include <xmpp_close.h>\n\n%s.fi\n.SH DESCRIPTION\n%s", head(name, about), synopsis, text > file
    print ".SH SEE ALSO\n.BR xmpp_close (3)" > file
    close(file)
    main = main ".TP\n.BR " name " (3)\n" code(about) "\n"
}

# Comments in front of declarations.
/^ *\/\/\// { line = $0; sub(/^ *\/\/\/ ?/, "", line); doc[++docs] = line; next }
# The comment at the top, and those of the sections.
# A whole sentence by itself is no section: it says what the next line is.
/^\/\* .*\. \*\/$/ { sentence = substr($0, 4, length($0) - 6); next }
/^typedef int xmpp_close_socket;/ { main = main ".SH SOCKETS\n.TP\n.B " $0 "\n" prose(sentence) "\n"; next }
/^\/\* / { comment = 1; count = 0; $0 = " * " substr($0, 4) }
comment {
    ends = sub(/ ?\*\/$/, "")
    line = $0; sub(/^ \* ?/, "", line)
    if (!ends || line != "") notes[++count] = line
    notes[count + 1] = ""
    if (!ends) next
    comment = docs = 0
    if (!sections++) { about = notes[1]; sub(/^xmpp_close: /, "", about); sub(/\.$/, "", about); intro = body(notes, 3, count, 1) }
    else main = main ".SH " toupper(notes[1]) "\n" body(notes, 3, count, 0)
    next
}
# A struct or an enum: its members, each with what is said of it.
/^typedef (struct|enum) xmpp_close_[a-z_]+ \{/ {
    inside = 1; type = $2; named = $3
    text = body(doc, 1, docs, 0)
    about_it = brief(doc, docs)
    docs = 0
    next
}
inside && /^}/ {
    page(named, about_it, ".B typedef " type " " named " " named ";\n", text)
    inside = docs = 0
    next
}
inside {
    line = $0; sub(/^ */, "", line); sub(/,$/, "", line)
    text = text ".TP\n.B " code(line) "\n" body(doc, 1, docs, 0)
    docs = 0
    next
}
# A constant or an opaque type.
docs && /^(#define|typedef)/ { line = $0; main = main ".TP\n.B " code(line) "\n" body(doc, 1, docs, 0); docs = 0; next }
# A function, which may take several lines.
{ sub(/^XMPP_CLOSE_MUST_USE */, "") }
/^[a-z].*[ *]xmpp_close_[a-z_]+\(/ { declaration = ""; function_name = $0; sub(/\(.*/, "", function_name); sub(/.*[ *]/, "", function_name) }
function_name != "" {
    declaration = declaration ".B \"" code($0) "\"\n"
    if (/;$/) { page(function_name, brief(doc, docs), declaration, body(doc, 1, docs, 0)); docs = 0; function_name = "" }
    next
}
END {
    file = out "/xmpp_close.3"
    printf "%s.SH SYNOPSIS\n.nf\n.B #include <xmpp_close.h>\n\n.B cc program.c $(pkg\\-config \\-\\-cflags \\-\\-libs xmpp\\-close)\n.fi\n.SH DESCRIPTION\n%s%s", head("xmpp_close", about), intro, main > file
}
