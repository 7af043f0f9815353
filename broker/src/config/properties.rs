//! Java's `.properties` format, in which Kafka's `server.properties` is written.
//!
//! ```text
//! # a comment           ! another
//! key=value             key: value             key value
//! long.value = first,\
//!     second            (a line that ends in an odd number of backslashes goes on; leading blanks of the next are dropped)
//! escaped\ key = tab\t unicode\u0041
//! ```

/// Keys and values in the order of the text; a key given twice appears twice.
///
/// # Errors
/// The number of the line and what is wrong with it (only a broken `\u` escape can be).
pub fn parse_properties(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut pairs = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let mut logical = line.to_string();
        while ends_in_open_escape(&logical) {
            logical.pop();
            match lines.next() {
                Some((_, next)) => logical.push_str(next.trim_start()),
                None => break,
            }
        }
        let (key, value) = split_pair(&logical);
        let place = |problem| format!("line {}: {problem}", number + 1);
        pairs.push((unescape(key).map_err(place)?, unescape(value.trim_end()).map_err(place)?));
    }
    Ok(pairs)
}

fn ends_in_open_escape(line: &str) -> bool {
    line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

/// The key ends at the first `=`, `:` or blank that is not escaped; blanks and one separator after it belong to neither.
fn split_pair(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = line
        .char_indices()
        .find(|(_, character)| {
            let ends = !escaped && (matches!(character, '=' | ':') || character.is_whitespace());
            escaped = !escaped && *character == '\\';
            ends
        })
        .map_or(line.len(), |(index, _)| index);
    let (key, rest) = line.split_at(end);
    let rest = rest.trim_start();
    (key, rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start())
}

fn unescape(text: &str) -> Result<String, String> {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            plain.push(character);
            continue;
        }
        match characters.next() {
            Some('t') => plain.push('\t'),
            Some('n') => plain.push('\n'),
            Some('r') => plain.push('\r'),
            Some('f') => plain.push('\u{c}'),
            Some('u') => {
                let digits: String = characters.by_ref().take(4).collect();
                let code = u32::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 4);
                plain.push(code.and_then(char::from_u32).ok_or(format!("'\\u{digits}' is no character"))?);
            }
            Some(other) => plain.push(other),
            None => {}
        }
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &[(&str, &str)]) {
        let pairs = parse_properties(text).unwrap();
        let pairs: Vec<_> = pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(pairs, expect, "{text:?}");
    }

    #[test]
    fn java_properties_are_read_as_java_reads_them() {
        check("", &[]);
        check("# c\n ! c\n\na=1", &[("a", "1")]);
        check("a=1\r\nb: 2\nc 3\nd", &[("a", "1"), ("b", "2"), ("c", "3"), ("d", "")]);
        check("a = b = c", &[("a", "b = c")]);
        check("a=1,\\\n    2,\\\n 3\nb=4", &[("a", "1,2,3"), ("b", "4")]);
        check("a=ends in backslash\\\\\nb=1", &[("a", "ends in backslash\\"), ("b", "1")]);
        check("a\\ key\\=x=\\tv\\u0041", &[("a key=x", "\tvA")]);
        check("a=1\na=2", &[("a", "1"), ("a", "2")]);
        check("a=\\", &[("a", "")]);
    }

    #[test]
    fn a_broken_escape_is_named_by_its_line() {
        assert_eq!(parse_properties("a=1\nb=\\u12").unwrap_err(), "line 2: '\\u12' is no character");
    }
}
