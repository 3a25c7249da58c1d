//! What is seen of a model's download while its engine starts.

use tracing::warn;

use super::Plan;
use crate::backend::{Loading, ModelSize, Space};

/// How far it is.
#[derive(Debug, Default)]
pub(super) struct Download {
    size: Option<ModelSize>,
    /// Bytes that were there when it was last looked.
    arrived: Option<u64>,
    warned: bool,
}

impl Download {
    pub(super) fn new(plan: &Plan) -> Self {
        Self { size: plan.model.as_ref().and_then(|model| model.size), ..Self::default() }
    }

    /// The hub told how large it is.
    pub(super) fn sized(&mut self, index: &str) {
        self.size = self.size.or_else(|| ModelSize::from_hub_index(index));
    }

    /// So many bytes are there, and so many would still find room. Tells the progress, where there is some: what was all there
    /// before is not downloaded, and what is all there is loaded.
    pub(super) fn arrived(&mut self, bytes: u64, free: Option<u64>) -> Option<Loading> {
        let before = self.arrived.replace(bytes);
        let size = self.size?;
        if let Some(Space::Missing(missing)) = free.map(|free| size.fits(bytes, free))
            && !std::mem::replace(&mut self.warned, true)
        {
            let (all, missing) = (size.words(), ModelSize::of_bytes(missing).words());
            warn!(
                "the model's files are {all}, and {missing} of them find no room where the engine keeps models: name a \
                 roomier place by --env HF_HOME=…"
            );
        }
        (before.is_some_and(|before| before < bytes) && bytes < size.bytes()).then(|| size.downloading(bytes))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    const INDEX: &str =
        r#"{"siblings":[{"rfilename":"all.json","size":0},{"rfilename":"all.safetensors","size":17179869184}]}"#;

    #[test]
    fn only_what_grows_and_is_not_whole_is_downloaded() {
        let mut download = Download::default();
        assert_eq!(download.arrived(0, None), None, "nobody knows of how much");
        download.sized(INDEX);
        assert_eq!(download.arrived(4 << 30, None).unwrap().to_string(), "downloading weights 25 % (4.0 of 16.0 GiB)");
        assert_eq!(download.arrived(4 << 30, None), None, "nothing came");
        assert_eq!(download.arrived(16 << 30, None), None, "it is whole");
        let mut cached = Download { size: Some(ModelSize::of_bytes(16)), ..Download::default() };
        assert_eq!(cached.arrived(8, None), None, "it was there before");
    }

    #[test]
    fn what_the_user_says_counts_more_and_too_little_room_is_told_once() {
        let mut download = Download { size: Some(ModelSize::of_bytes(100)), ..Download::default() };
        download.sized(INDEX);
        assert_eq!(download.size, Some(ModelSize::of_bytes(100)));
        download.arrived(10, Some(90));
        assert!(!download.warned);
        download.arrived(20, Some(70));
        assert!(download.warned);
    }
}
