//! How large a model's files are, by the hub's index, and what that means for the disk and the progress of a download.

use serde::Deserialize;

use super::loading::{Loading, gib};
use super::steps;

/// The files of a model, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelSize(u64);

/// Whether the files fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// They do.
    Enough,
    /// So many bytes are missing.
    Missing(u64),
}

/// The hub's answer to `GET /api/models/NAME?blobs=true`, as far as it matters.
#[derive(Deserialize)]
struct Index {
    siblings: Vec<File>,
}

#[derive(Deserialize)]
struct File {
    rfilename: String,
    size: Option<u64>,
}

/// The endings of weights, in the order in which engines look for them: of several they load only the first kind.
const WEIGHTS: [&str; 3] = [".safetensors", ".bin", ".pt"];

/// Files of a hub's repository that no engine loads: copies in another format, and pictures of the model's page.
const NOT_LOADED: [&str; 11] =
    [".gguf", ".onnx", ".onnx_data", ".h5", ".msgpack", ".ot", ".tflite", ".mlmodel", ".png", ".jpg", ".pth"];

impl ModelSize {
    /// A size that the user gives.
    #[must_use]
    pub fn of_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The sum of the files that an engine loads, by the hub's index; nothing where that does not say.
    ///
    /// Of a model that has its weights in several formats only the first kind counts, and copies in folders
    /// (`original/…`) do not.
    #[must_use]
    pub fn from_hub_index(text: &str) -> Option<Self> {
        let files = serde_json::from_str::<Index>(text).ok()?.siblings;
        let at_top: Vec<&File> = files.iter().filter(|file| !file.rfilename.contains('/')).collect();
        let kind = WEIGHTS.iter().find(|kind| at_top.iter().any(|file| file.rfilename.ends_with(**kind)))?;
        let is_loaded = |file: &&&File| {
            let ends = |ending: &&str| file.rfilename.ends_with(*ending);
            ends(kind) || !WEIGHTS.iter().chain(&NOT_LOADED).any(ends)
        };
        let mut sizes = at_top.iter().filter(is_loaded).map(|file| file.size);
        sizes.try_fold(0_u64, |sum, size| sum.checked_add(size?)).map(Self)
    }

    /// In bytes.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.0
    }

    /// In words, as in `14.9 GiB`.
    #[must_use]
    pub fn words(self) -> String {
        format!("{} GiB", gib(self.0))
    }

    /// Whether what has not arrived yet fits into the free space; both in bytes.
    #[must_use]
    pub fn fits(self, arrived: u64, free: u64) -> Space {
        let wanted = self.0.saturating_sub(arrived);
        match wanted.checked_sub(free) {
            None | Some(0) => Space::Enough,
            Some(missing) => Space::Missing(missing),
        }
    }

    /// The progress of a download of which so many bytes have arrived. It is never told to be whole: the engine says
    /// that, by what it does next.
    #[must_use]
    pub fn downloading(self, arrived: u64) -> Loading {
        let percent = (u128::from(arrived) * 100).checked_div(u128::from(self.0)).unwrap_or(0).min(99);
        Loading { step: steps::DOWNLOAD, percent: u8::try_from(percent).ok(), bytes: Some((arrived, self.0)) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use test_case::test_case;

    use super::*;

    const INDEX: &str = r#"{"id": "org/M", "siblings": [
        {"rfilename": "config.json", "size": 700, "blobId": "a"},
        {"rfilename": "model-00001-of-00002.safetensors", "size": 5000000000, "lfs": {"size": 5000000000}},
        {"rfilename": "model-00002-of-00002.safetensors", "size": 4000000000},
        {"rfilename": "original/consolidated.00.pth", "size": 9000000000},
        {"rfilename": "pytorch_model.bin", "size": 9000000000},
        {"rfilename": "page.png", "size": 123456}
    ]}"#;

    #[test_case(INDEX, Some(9_000_000_700); "one format of several")]
    #[test_case(r#"{"siblings": [{"rfilename": "a.bin", "size": 5}, {"rfilename": "x.json", "size": 1}]}"#, Some(6); "older weights")]
    #[test_case(r#"{"siblings": [{"rfilename": "a.safetensors"}]}"#, None; "without sizes")]
    #[test_case(r#"{"siblings": [{"rfilename": "config.json", "size": 5}]}"#, None; "without weights")]
    #[test_case(r#"{"error": "Repository not found"}"#, None; "another answer")]
    #[test_case("<html>", None; "no JSON")]
    fn sums_what_is_loaded(index: &str, bytes: Option<u64>) {
        assert_eq!(ModelSize::from_hub_index(index).map(ModelSize::bytes), bytes);
    }

    #[test_case(100, 0, 100, Space::Enough; "just")]
    #[test_case(100, 0, 90, Space::Missing(10); "too little")]
    #[test_case(100, 60, 40, Space::Enough; "some has arrived")]
    #[test_case(100, 200, 0, Space::Enough; "all has arrived")]
    fn fits_or_not(size: u64, arrived: u64, free: u64, space: Space) {
        assert_eq!(ModelSize::of_bytes(size).fits(arrived, free), space);
    }

    #[test_case(16 << 30, 4 << 30, "25 % (4.0 of 16.0 GiB)")]
    #[test_case(16_000_000_000, 3_500_000_000, "21 % (3.2 of 14.9 GiB)"; "not whole")]
    #[test_case(2 << 30, 5 << 30, "99 % (5.0 of 2.0 GiB)"; "more than there was to be")]
    #[test_case(0, 5, "0 % (0.0 of 0.0 GiB)"; "nothing")]
    fn tells_the_progress(size: u64, arrived: u64, told: &str) {
        let loading = ModelSize::of_bytes(size).downloading(arrived);
        assert_eq!(loading.to_string(), format!("downloading weights {told}"));
    }

    proptest! {
        #[test]
        fn no_size_panics(size: u64, arrived: u64, free: u64) {
            let size = ModelSize::of_bytes(size);
            prop_assert!(size.downloading(arrived).percent <= Some(99));
            let _ = size.fits(arrived, free);
        }
    }
}
