//! A limit of what one piece of work may cost.

/// What a stretch of work cost, and what one twice as long did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spent {
    /// How many pieces the shorter one had.
    pub(crate) pieces: u64,
    /// The cost of that.
    pub(crate) once: u64,
    /// The cost of the longer one.
    pub(crate) twice: u64,
}

impl Spent {
    /// Fails where one piece of `what` costs more than this. `look` is the command that shows what costs so much.
    #[track_caller]
    pub(crate) fn at_most(self, what: &str, limit: f64, look: &str) {
        let Self { pieces, once, twice } = self;
        assert!(
            0 < once && once <= twice,
            "{what}: {once} for {pieces} and {twice} for twice as many: nothing was counted"
        );
        #[expect(clippy::cast_precision_loss, reason = "the counts are far smaller")]
        let each = (twice - once) as f64 / pieces as f64;
        println!("{what}: {each:.2}, at most {limit:.2} ({once} for {pieces}, {twice} for {})", 2 * pieces);
        assert!(
            each <= limit,
            "{what}: {each:.2}, where {limit:.2} is the limit. To see what is behind it: {look}. \
             If it is worth it, the limit stands in tests/counts, with what was measured."
        );
    }
}
