//! How a kind of engine takes its arguments, and which of them a caller of the API may set.

/// How a kind of engine takes its arguments. Flags are written with two dashes and no underscores.
#[derive(Debug)]
pub struct Flags {
    /// Other spellings, each with the flag that it stands for, such as `("-tp", "--tensor-parallel-size")`.
    pub aliases: &'static [(&'static str, &'static str)],
    /// Those that take several values behind one mention; a list is given to the others as a flag for each item.
    pub several: &'static [&'static str],
    /// Those that take a list as one JSON text.
    pub json_lists: &'static [&'static str],
    /// Those that may be given more than once, each of which counts.
    pub repeated: Repeated,
    /// What a caller may set if the operator says nothing: sizes and choices, never a path, a class or a program.
    pub harmless: &'static [&'static str],
    /// What could run code, reach files or open the engine to others, of which a caller is told why he may not set it. A `*`
    /// stands for anything.
    pub dangerous: &'static [&'static str],
}

/// Which flags may be given more than once in a list.
#[derive(Debug)]
pub enum Repeated {
    /// These.
    Only(&'static [&'static str]),
    /// Nobody knows: a program of the user's own.
    Any,
}

impl Flags {
    /// A program of which nothing is known.
    pub const UNKNOWN: Self =
        Self { aliases: &[], several: &[], json_lists: &[], repeated: Repeated::Any, harmless: &[], dangerous: &[] };

    /// The name under which a flag is compared: without underscores, an alias as what it stands for, and the opposite
    /// (`--no-x`) as the flag itself.
    pub(super) fn canonical(&self, spelled: &str) -> String {
        let dashed = dashed(spelled);
        let known = self.aliases.iter().find(|(alias, _)| *alias == dashed).map_or(dashed.as_str(), |(_, flag)| flag);
        known.strip_prefix("--no-").map_or_else(|| known.to_owned(), |rest| format!("--{rest}"))
    }

    pub(super) fn may_repeat(&self, flag: &str) -> bool {
        match self.repeated {
            Repeated::Only(flags) => flags.contains(&flag),
            Repeated::Any => true,
        }
    }

    /// Whether a flag could do more than change how the engine computes, as far as that is known.
    pub(super) fn is_dangerous(&self, flag: &str) -> bool {
        self.dangerous.iter().any(|pattern| match pattern.split_once('*') {
            None => *pattern == flag,
            Some((start, end)) => flag.strip_prefix(start).is_some_and(|rest| rest.ends_with(end)),
        })
    }
}

/// A flag with dashes in place of underscores. Behind a dot stands a key of a nested mapping, which keeps its own.
pub(super) fn dashed(flag: &str) -> String {
    match flag.split_once('.') {
        Some((flag, key)) => format!("{}.{key}", flag.replace('_', "-")),
        None => flag.replace('_', "-"),
    }
}

/// The flag without the key of a nested mapping: `--hf-overrides.x` is `--hf-overrides`.
pub(super) fn base(flag: &str) -> &str {
    flag.split('.').next().unwrap_or(flag)
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::super::Backend;

    #[test_case("--tensor_parallel_size", "--tensor-parallel-size")]
    #[test_case("-tp", "--tensor-parallel-size"; "an alias")]
    #[test_case("--no-enable-prefix-caching", "--enable-prefix-caching"; "the opposite")]
    #[test_case("--hf_overrides.rope_scaling", "--hf-overrides.rope_scaling"; "a nested key keeps its own")]
    fn is_compared_as(spelled: &str, canonical: &str) {
        assert_eq!(Backend::Vllm.profile().flags.canonical(spelled), canonical);
    }

    #[test_case(Backend::Vllm, "--trust-remote-code", true)]
    #[test_case(Backend::Vllm, "--ssl-keyfile", true; "by its beginning")]
    #[test_case(Backend::Vllm, "--kv-transfer-config", true; "by its end")]
    #[test_case(Backend::Vllm, "--kv-cache-metrics", false)]
    #[test_case(Backend::Vllm, "--max-model-len", false)]
    #[test_case(Backend::Sglang, "--trust-remote-code", true; "sglang")]
    #[test_case(Backend::Sglang, "--custom-sigquit-handler", true; "a program of sglang's")]
    fn could_do_more(backend: Backend, flag: &str, needs: bool) {
        assert_eq!(backend.profile().flags.is_dangerous(flag), needs);
    }

    #[test]
    fn what_is_harmless_is_not_dangerous() {
        for backend in Backend::ALL {
            let flags = &backend.profile().flags;
            for flag in flags.harmless {
                assert!(flag.starts_with("--") && !flag.contains('_'), "{flag}");
                assert!(
                    !flag.starts_with("--trust") && !flag.contains("plugin") && !flag.ends_with("-config"),
                    "{flag}"
                );
            }
        }
    }
}
