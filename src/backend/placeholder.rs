//! Finds `{host}`, `{port}`, `{socket}` and `{model}` in a word.
//!
//! `${port}` and `{{port}}` are none: the one is a shell's variable, the other is of a template.

pub(super) const HOST: &str = "{host}";
pub(super) const PORT: &str = "{port}";
pub(super) const SOCKET: &str = "{socket}";
pub(super) const MODEL: &str = "{model}";

/// The next placeholder of `text`, and where it is.
pub(super) fn next_placeholder(text: &str, from: usize) -> Option<(usize, &'static str)> {
    let rest = text.get(from..)?;
    rest.match_indices('{').find_map(|(at, _)| {
        let at = from + at;
        let found =
            [HOST, PORT, SOCKET, MODEL].into_iter().find(|name| text.get(at..).is_some_and(|t| t.starts_with(name)))?;
        let before = text.get(..at).is_some_and(|before| before.ends_with(['$', '{']));
        let after = text.get(at + found.len()..).is_some_and(|after| after.starts_with('}'));
        (!before && !after).then_some((at, found))
    })
}

pub(super) fn has_placeholder(text: &str, name: &str) -> bool {
    let mut from = 0;
    while let Some((at, found)) = next_placeholder(text, from) {
        if found == name {
            return true;
        }
        from = at + found.len();
    }
    false
}
