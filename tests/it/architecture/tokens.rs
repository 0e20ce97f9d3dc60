//! The words and marks of Rust source text, without comments and literals.

/// A piece of source text.
pub(crate) enum Token {
    Word(String),
    Mark(char),
    /// What stands in brackets, and the opening one.
    Group(char, Vec<Token>),
}

impl Token {
    pub(crate) fn is_word(&self, word: &str) -> bool {
        matches!(self, Token::Word(other) if other == word)
    }

    pub(crate) fn is_mark(&self, mark: char) -> bool {
        matches!(self, Token::Mark(other) if *other == mark)
    }
}

pub(crate) fn lex(text: &str) -> Vec<Token> {
    let mut rest = text;
    tokens(&mut rest)
}

/// The tokens up to the bracket that closes this group, or to the end.
fn tokens(rest: &mut &str) -> Vec<Token> {
    let mut found = Vec::new();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            _ if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            _ if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            '"' => string(rest, 0),
            'b' if rest.starts_with("b\"") => string(rest, 1),
            'r' if rest[1..].trim_start_matches('#').starts_with('"') => raw_string(rest),
            '\'' => character_or_lifetime(rest),
            _ if is_of_word(first) => {
                let end = rest.find(|c| !is_of_word(c)).unwrap_or(rest.len());
                found.push(Token::Word(rest[..end].to_owned()));
                end
            }
            '(' | '[' | '{' => {
                *rest = &rest[1..];
                found.push(Token::Group(first, tokens(rest)));
                continue;
            }
            ')' | ']' | '}' => {
                *rest = &rest[1..];
                return found;
            }
            _ => {
                found.extend((!first.is_whitespace()).then_some(Token::Mark(first)));
                first.len_utf8()
            }
        };
        *rest = &rest[length..];
    }
    found
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The length of a string whose opening quote stands at `quote`.
fn string(text: &str, quote: usize) -> usize {
    let mut escaped = false;
    let is_end = |(_, c): &(usize, char)| {
        let is_end = *c == '"' && !escaped;
        escaped = *c == '\\' && !escaped;
        is_end
    };
    text[quote + 1..].char_indices().find(is_end).map_or(text.len(), |(end, _)| quote + 1 + end + 1)
}

fn raw_string(text: &str) -> usize {
    let hashes = text[1..].chars().take_while(|c| *c == '#').count();
    let (begin, end) = (1 + hashes + 1, format!("\"{}", "#".repeat(hashes)));
    text[begin..].find(&end).map_or(text.len(), |length| begin + length + end.len())
}

/// `'a'`, `'\n'` or `'static`.
fn character_or_lifetime(text: &str) -> usize {
    let mut rest = text.char_indices().skip(1);
    match (rest.next(), rest.next()) {
        (Some((_, '\\')), Some((escaped, c))) => {
            let behind = escaped + c.len_utf8();
            text[behind..].find('\'').map_or(text.len(), |end| behind + end + 1)
        }
        (Some(_), Some((end, '\''))) => end + 1,
        _ => 1,
    }
}
