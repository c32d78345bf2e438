//! What JavaScript has to do, and a parser that knows nothing of the encoder's.

use super::Shape;

/// A value as `JSON.parse` has it. Strings are UTF-16, numbers are their text.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Tree {
    Plain(String),
    Text(Vec<u16>),
    Array(Vec<Tree>),
    Object(Vec<(Vec<u16>, Tree)>),
}

pub(super) fn parse(text: &str) -> Tree {
    let mut reader = Reader { chars: text.chars().collect(), at: 0 };
    let tree = reader.value();
    reader.space();
    assert_eq!(reader.at, reader.chars.len(), "{text}");
    tree
}

/// Builds a body from its flat array.
pub(super) fn decode(text: &str, shapes: &[Shape]) -> Tree {
    let Tree::Array(values) = parse(text) else { panic!("{text}") };
    let mut values = values.into_iter();
    let body = container(&mut values, shapes);
    assert_eq!(values.next(), None, "{text}");
    body
}

fn container(values: &mut impl Iterator<Item = Tree>, shapes: &[Shape]) -> Tree {
    let value = values.next().unwrap();
    let Tree::Plain(number) = &value else { return value };
    let Ok(number) = number.parse::<i64>() else { return value };
    if number < 0 {
        return Tree::Array((0..-number - 1).map(|_| container(values, shapes)).collect());
    }
    let shape = &shapes[number as usize];
    assert_eq!(shape.keys.len(), shape.containers.len());
    let member = |(key, is_container): (&String, &bool)| {
        let value = if *is_container { container(values, shapes) } else { values.next().unwrap() };
        (key.encode_utf16().collect(), value)
    };
    Tree::Object(shape.keys.iter().zip(&shape.containers).map(member).collect())
}

struct Reader {
    chars: Vec<char>,
    at: usize,
}

impl Reader {
    fn space(&mut self) {
        while self.at < self.chars.len() && " \t\r\n".contains(self.chars[self.at]) {
            self.at += 1;
        }
    }

    fn next(&mut self) -> char {
        self.space();
        self.at += 1;
        self.chars[self.at - 1]
    }

    fn is_next(&mut self, c: char) -> bool {
        let is_next = self.next() == c;
        self.at -= usize::from(!is_next);
        is_next
    }

    fn value(&mut self) -> Tree {
        match self.next() {
            '"' => Tree::Text(self.string()),
            '[' => {
                let mut items = Vec::new();
                while !self.is_next(']') {
                    assert!(items.is_empty() || self.next() == ',');
                    items.push(self.value());
                }
                Tree::Array(items)
            }
            '{' => {
                let mut members: Vec<(Vec<u16>, Tree)> = Vec::new();
                let mut is_first = true;
                while !self.is_next('}') {
                    assert!(is_first || self.next() == ',');
                    assert_eq!(self.next(), '"');
                    let key = self.string();
                    assert_eq!(self.next(), ':');
                    let value = self.value();
                    match members.iter_mut().find(|(known, _)| *known == key) {
                        Some(member) => member.1 = value,
                        None => members.push((key, value)),
                    }
                    is_first = false;
                }
                Tree::Object(members)
            }
            _ => {
                let start = self.at - 1;
                while self.at < self.chars.len() && !" \t\r\n,:]}".contains(self.chars[self.at]) {
                    self.at += 1;
                }
                Tree::Plain(self.chars[start..self.at].iter().collect())
            }
        }
    }

    /// Behind the opening quote.
    fn string(&mut self) -> Vec<u16> {
        let mut units = Vec::new();
        loop {
            let c = self.chars[self.at];
            self.at += 1;
            match c {
                '"' => return units,
                '\\' => {
                    let escape = self.chars[self.at];
                    self.at += 1;
                    units.push(match escape {
                        'u' => {
                            let digits: String = self.chars[self.at..self.at + 4].iter().collect();
                            self.at += 4;
                            u16::from_str_radix(&digits, 16).unwrap()
                        }
                        'b' => 8,
                        'f' => 12,
                        'n' => 10,
                        'r' => 13,
                        't' => 9,
                        other => other as u16,
                    });
                }
                c => units.extend_from_slice(c.encode_utf16(&mut [0; 2])),
            }
        }
    }
}
