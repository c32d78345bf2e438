//! Paths as they are written.

/// The names on the way.
pub(super) fn segments(path: &str) -> Result<Vec<String>, &'static str> {
    let mut names = Vec::new();
    let mut name = String::new();
    let mut chars = path.chars();
    loop {
        match chars.next() {
            Some('\\') => match chars.next() {
                Some(c @ ('.' | '\\')) => name.push(c),
                _ => return Err("holds a backslash that is followed by neither a dot nor a backslash"),
            },
            Some(c) if c != '.' => name.push(c),
            end => {
                if name.is_empty() {
                    return Err("holds an empty name");
                }
                names.push(std::mem::take(&mut name));
                if end.is_none() {
                    return Ok(names);
                }
            }
        }
    }
}
