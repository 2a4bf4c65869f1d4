//! Long names, shortened so that they stay apart.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The short forms of the words of a table that are longer than a limit.
pub(crate) struct ShortWords<'a>(HashMap<&'a str, String>);

impl<'a> ShortWords<'a> {
    /// Shortens the words of these texts to `limit` characters, and to as many more as it takes to
    /// keep words apart that differ.
    pub(crate) fn of(texts: impl Iterator<Item = &'a str>, limit: usize) -> ShortWords<'a> {
        let words = texts.flat_map(|text| text.split(' ')).map(|word| word.trim_matches(MARKS));
        let mut long: BTreeSet<&str> = words.filter(|word| length(word) > limit).collect();
        let mut short = HashMap::new();
        let mut limit = limit;
        while !long.is_empty() {
            let mut forms: BTreeMap<String, Vec<&str>> = BTreeMap::new();
            for word in std::mem::take(&mut long) {
                forms.entry(shorten(word, limit)).or_default().push(word);
            }
            for (form, words) in forms {
                if let [word] = words[..] {
                    short.insert(word, form);
                } else {
                    long.extend(words);
                }
            }
            limit += 4;
        }
        ShortWords(short)
    }

    /// Returns the text with the short forms in place of the words.
    pub(crate) fn apply(&self, text: &str) -> String {
        if self.0.is_empty() {
            return text.to_owned();
        }
        let word = |word: &str| {
            let name = word.trim_matches(MARKS);
            self.0.get(name).map_or_else(|| word.to_owned(), |short| word.replace(name, short))
        };
        text.split(' ').map(word).collect::<Vec<_>>().join(" ")
    }
}

/// Marks around a word that are no part of it.
const MARKS: [char; 5] = [',', ';', ':', '(', ')'];

/// The number of characters.
pub(crate) fn length(text: &str) -> usize {
    text.chars().count()
}

/// Returns at most `limit` characters of a word. The domain of a host name goes first, because
/// nodes share it, then the middle; more of the end stays, where nodes of one group differ.
fn shorten(word: &str, limit: usize) -> String {
    if length(word) <= limit {
        return word.to_owned();
    }
    match word.split_once('.') {
        // Not the addresses: their first part is a number.
        Some((host, domain))
            if domain.contains('.') && host.contains(|each: char| !each.is_ascii_digit()) =>
        {
            cut(host, limit - 1) + "…"
        }
        _ => cut(word, limit),
    }
}

/// Cuts the middle out of a word that is longer than `limit`.
fn cut(word: &str, limit: usize) -> String {
    let characters: Vec<char> = word.chars().collect();
    if characters.len() <= limit {
        return word.to_owned();
    }
    let head = (limit - 1) / 3;
    let tail = characters.len() - (limit - 1 - head);
    characters[..head].iter().chain(&['…']).chain(&characters[tail..]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(words: &[&str], limit: usize) -> Vec<String> {
        let short = ShortWords::of(words.iter().copied(), limit);
        words.iter().map(|word| short.apply(word)).collect()
    }

    #[test]
    fn words_keep_what_tells_them_apart() {
        let pool = "gke-site-default-pool-5f2c9a17";
        let nodes =
            [format!("{pool}-x1qz.c.acme.internal"), format!("{pool}-kk2p.c.acme.internal")];
        let nodes = nodes.each_ref().map(String::as_str);
        assert_eq!(short(&nodes, 24), ["gke-sit…l-5f2c9a17-x1qz…", "gke-sit…l-5f2c9a17-kk2p…"]);
        let text = format!("1 => 10.8.0.2:80/TCP (active) {}, or {}:", nodes[0], nodes[1]);
        assert_eq!(
            short(&[&text], 16),
            ["1 => 10.8.0.2:80/TCP (active) gke-…c9a17-x1qz…, or gke-…c9a17-kk2p…:"]
        );
        // Both ends are equal, so that more of the middle stays.
        let alike = [
            "aaaaaaaaaaaaaaaaaaaaaaaaaa-1-zzzzzzzzzzzzzzzzzzzzzzzzzzzzzz",
            "aaaaaaaaaaaaaaaaaaaaaaaaaa-2-zzzzzzzzzzzzzzzzzzzzzzzzzzzzzz",
        ];
        let alike = short(&alike, 16);
        assert!(alike[0] != alike[1] && alike[0].contains("1-z"), "{alike:?}");
        let hosts = ["web-1.site-a.example.org.example", "web-1.site-b.example.org.example"];
        let hosts = short(&hosts, 24);
        assert!(hosts[0] != hosts[1], "{hosts:?}");
        assert_eq!(
            short(&["short", "fd00:10:244:17::a:b:c:d"], 23),
            ["short", "fd00:10:244:17::a:b:c:d"]
        );
    }
}
