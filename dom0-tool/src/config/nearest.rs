//! Which known word somebody may have meant.

/// The known word that takes the fewest letters to change into, if it is near enough to be meant.
pub fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = 1 + word.chars().count() / 4;
    known
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(steps, _)| *steps <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Letters to insert, remove or replace to make one word of the other (Levenshtein). Words above 64 letters count as far.
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    if one.len() > 64 || other.len() > 64 {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, letter) in one.iter().enumerate() {
        let mut diagonal = index;
        let mut left = index + 1;
        let mut next = vec![left];
        for (theirs, above) in other.iter().zip(row.iter().skip(1)) {
            let replaced = diagonal + usize::from(letter != theirs);
            left = replaced.min(left + 1).min(above + 1);
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_right() {
        for (one, other, steps) in [
            ("", "", 0),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("dedupe", "dedup", 1),
            ("flaw", "lawn", 2),
        ] {
            assert_eq!(distance(one, other), steps, "{one} {other}");
            assert_eq!(distance(other, one), steps, "{other} {one}");
        }
    }

    #[test]
    fn a_slip_finds_its_word_and_nonsense_none() {
        let known = ["dedup", "dest", "quiet", "unattended"];
        let find = |word| nearest(word, known.into_iter());
        assert_eq!(find("deduo"), Some("dedup"));
        assert_eq!(find("unatended"), Some("unattended"));
        assert_eq!(find("zzz"), None);
        assert_eq!(find(""), None);
    }
}
