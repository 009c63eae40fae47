//! The nearest known word to one that is unknown.

/// Finds the word that was probably meant, if one of `known` is near enough.
///
/// Near enough is one slip in three letters: a letter too many, too few, another one, or two neighbours swapped.
/// Upper and lower case are slips of no weight, so that `Whoami` leads to `whoami`.
///
/// ```
/// use catena_core::corefile::nearest;
///
/// assert_eq!(nearest("forwrad", ["file", "forward"]), Some("forward"));
/// assert_eq!(nearest("xyz", ["file", "forward"]), None);
/// ```
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > MAX_WORD {
        return None;
    }
    let word: Vec<char> = word.to_lowercase().chars().collect();
    known
        .into_iter()
        .map(|candidate| {
            (
                distance(&word, &candidate.to_lowercase().chars().collect::<Vec<_>>()),
                candidate,
            )
        })
        .filter(|(slips, candidate)| *slips <= candidate.chars().count().max(word.len()).div_ceil(3).min(3))
        .filter(|(slips, candidate)| *slips < candidate.chars().count())
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, candidate)| candidate)
}

/// Longer words are no slip of a known one, and comparing them costs the square of their length.
const MAX_WORD: usize = 64;

/// Damerau and Levenshtein's distance, with swaps of neighbours only.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before = vec![0; b.len() + 1];
    let mut above: Vec<usize> = (0..=b.len()).collect();
    let mut row = vec![0; b.len() + 1];
    for i in 1..=a.len() {
        row[0] = i;
        for j in 1..=b.len() {
            let other = usize::from(a[i - 1] != b[j - 1]);
            row[j] = (above[j] + 1).min(row[j - 1] + 1).min(above[j - 1] + other);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        std::mem::swap(&mut before, &mut above);
        std::mem::swap(&mut above, &mut row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_what_is_near_and_nothing_else() {
        let known = [
            "any",
            "cache",
            "debug",
            "dns64",
            "file",
            "forward",
            "hosts",
            "local",
            "log",
            "loop",
            "prometheus",
        ];
        for (word, want) in [
            ("forwrad", Some("forward")),
            ("forward:", Some("forward")),
            ("Hosts", Some("hosts")),
            ("host", Some("hosts")),
            ("lgo", Some("log")),
            ("prometeus", Some("prometheus")),
            ("metrics", None),
            ("x", None),
            ("", None),
            ("192.0.2.1", None),
        ] {
            assert_eq!(nearest(word, known), want, "word {word:?}");
        }
        assert_eq!(nearest(&"a".repeat(100_000), known), None);
    }
}
