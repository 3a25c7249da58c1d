//! A limit of what one piece of work may cost.

/// How often everything is counted. What is done by the clock, or was left undone, may fall into any count; the least has the
/// least of it.
pub(crate) const TIMES: usize = 3;

/// What a stretch of work cost, and what one twice as long did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spent {
    pieces: u64,
    once: u64,
    twice: u64,
}

impl Spent {
    /// Of so many pieces, and of twice as many, the least of what was counted.
    pub(crate) fn least(pieces: u64, once: impl Iterator<Item = u64>, twice: impl Iterator<Item = u64>) -> Self {
        let (once, twice) = (once.min().expect("it was counted"), twice.min().expect("it was counted"));
        Self { pieces, once, twice }
    }

    /// Fails where one piece of `what` costs more than this; and where it costs less than a quarter, for then nothing was counted, or
    /// the limit is due for a lower one. `look` is the command that shows what costs so much.
    #[expect(clippy::cast_precision_loss, reason = "the counts are far smaller")]
    #[expect(clippy::print_stdout, reason = "--nocapture shows what was counted, also where it holds")]
    #[track_caller]
    pub(crate) fn at_most(self, what: &str, limit: f64, look: &str) {
        let Self { pieces, once, twice } = self;
        let each = (twice as f64 - once as f64) / pieces as f64;
        let counted =
            format!("{what}: {each:.2}, at most {limit:.2} ({once} for {pieces}, {twice} for {})", 2 * pieces);
        println!("{counted}");
        assert!(
            once > 0 && (each > limit / 4.0 || limit < 1.0),
            "{counted}. Too few: lower the limit, in tests/counts"
        );
        assert!(
            each <= limit,
            "{counted}. Too many. To see what they are for: {look}. If they are worth it, the limit stands in tests/counts, \
             with what was measured",
        );
    }
}
