//! The GPUs of this machine, as its driver's own tool tells them.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::id::GpuIndex;

/// How long a tool may take: a driver that nobody keeps loaded takes seconds for each GPU, and a broken one never answers.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// NVIDIA's tool, and what it is asked: <https://docs.nvidia.com/deploy/nvidia-smi/>.
const NVIDIA: (&str, &[&str]) =
    ("nvidia-smi", &["--query-gpu=index,uuid,name,memory.total", "--format=csv,noheader,nounits"]);

/// AMD's.
const AMD: (&str, &[&str]) = ("rocm-smi", &["--showuniqueid", "--csv"]);

/// Who made the GPUs: by that an engine is told which are its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// NVIDIA.
    Nvidia,
    /// AMD.
    Amd,
}

/// One GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpu {
    /// Its number.
    pub index: GpuIndex,
    /// Its name for life, such as `GPU-5f9e…`.
    pub uuid: String,
}

/// The GPUs that there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpus {
    /// Who made them.
    pub maker: Maker,
    /// Each of them.
    pub all: Vec<Gpu>,
}

/// A tool is there, and says nothing of use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GpusError {
    /// It did not answer in time.
    #[error("{tool} did not answer within {} s", ANSWER_WITHIN.as_secs())]
    Late {
        /// Which.
        tool: &'static str,
    },
    /// It ended with an error.
    #[error("{tool} failed: {said}")]
    Failed {
        /// Which.
        tool: &'static str,
        /// Its words.
        said: String,
    },
}

impl Gpus {
    /// Asks this machine's tool, where it has one: nothing where there is none.
    ///
    /// # Errors
    /// See [`GpusError`].
    pub async fn ask() -> Result<Option<Self>, GpusError> {
        let of_amd = async || Ok(ask(AMD).await?.map(|text| Self { maker: Maker::Amd, all: amd(&text) }));
        let found = match ask(NVIDIA).await {
            Ok(Some(text)) => Some(Self { maker: Maker::Nvidia, all: nvidia(&text) }),
            Ok(None) => of_amd().await?,
            // The other's tool may have come with a container's image.
            Err(error) => match of_amd().await {
                Ok(Some(found)) => Some(found),
                Err(late @ GpusError::Late { .. }) => return Err(late),
                Ok(None) | Err(GpusError::Failed { .. }) => return Err(error),
            },
        };
        Ok(found.filter(|found| !found.all.is_empty()))
    }

    /// Those of them that a variable such as `CUDA_VISIBLE_DEVICES` names, by number or by the beginning of a UUID. What it
    /// names besides, such as a part of a GPU, is nobody's here.
    #[must_use]
    pub fn named_by(&self, variable: &str) -> BTreeSet<GpuIndex> {
        let is_meant = |gpu: &Gpu, word: &str| match word.parse::<u32>() {
            Ok(number) => gpu.index.0 == number,
            Err(_) => word.len() > "GPU-".len() && gpu.uuid.starts_with(word),
        };
        // What follows a word that names nothing is not seen by the driver either.
        let words = variable.split(',').map(str::trim);
        words.map_while(|word| self.all.iter().find(|gpu| is_meant(gpu, word))).map(|gpu| gpu.index).collect()
    }

    /// Only those that a variable of this process names: it was itself given no others. As they are, where it names none that
    /// is known.
    #[must_use]
    pub fn within(mut self, variable: Option<&str>) -> Self {
        if let Some(variable) = variable {
            let ours = self.named_by(variable);
            self.all.retain(|gpu| ours.contains(&gpu.index));
        }
        self
    }

    /// All their numbers.
    #[must_use]
    pub fn indexes(&self) -> BTreeSet<GpuIndex> {
        self.all.iter().map(|gpu| gpu.index).collect()
    }
}

impl Maker {
    /// Each of them.
    pub const ALL: [Self; 2] = [Self::Nvidia, Self::Amd];

    /// The variables that say to a program which GPUs it may see, the first of them the usual one.
    #[must_use]
    pub fn variables(self) -> &'static [&'static str] {
        match self {
            Self::Nvidia => &["CUDA_VISIBLE_DEVICES"],
            // PyTorch for AMD reads both, and they must agree.
            Self::Amd => &["HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"],
        }
    }

    /// What a program is told beside them: by which order the numbers count. CUDA's own is by speed, its tool's by the bus.
    #[must_use]
    pub fn order(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Nvidia => Some(("CUDA_DEVICE_ORDER", "PCI_BUS_ID")),
            Self::Amd => None,
        }
    }
}

async fn ask((tool, arguments): (&'static str, &[&str])) -> Result<Option<String>, GpusError> {
    let mut command = Command::new(tool);
    let asked = command.args(arguments).stdin(Stdio::null()).kill_on_drop(true).output();
    let Ok(answer) = tokio::time::timeout(ANSWER_WITHIN, asked).await else { return Err(GpusError::Late { tool }) };
    let failed = |said: String| GpusError::Failed { tool, said };
    match answer {
        Ok(output) if output.status.success() => Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned())),
        Ok(output) => {
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            let line = said.lines().find(|line| !line.trim().is_empty()).unwrap_or("without a word").trim();
            Err(failed(line.chars().take(200).collect()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error.to_string())),
    }
}

/// `0, GPU-7f…, NVIDIA A100-SXM4-80GB, 81920`, a line each.
fn nvidia(text: &str) -> Vec<Gpu> {
    let one = |line: &str| {
        let mut fields = line.split(',').map(str::trim);
        let index = GpuIndex(fields.next()?.parse().ok()?);
        Some(Gpu { index, uuid: fields.next()?.to_owned() })
    };
    text.lines().filter_map(one).collect()
}

/// A table whose first column is `card0` and so on; a warning may stand before its head.
fn amd(text: &str) -> Vec<Gpu> {
    let one = |line: &str| {
        let mut fields = line.split(',').map(str::trim);
        let index = GpuIndex(fields.next()?.strip_prefix("card")?.parse().ok()?);
        let id = fields.next().unwrap_or_default();
        Some(Gpu { index, uuid: format!("GPU-{}", id.trim_start_matches("0x")) })
    };
    text.lines().filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    const EIGHT: &str = "\
0, GPU-8b2f1c3e-0a55-4d0c-9d8e-1f0f5a1d2c00, NVIDIA H100 80GB HBM3, 81559
1, GPU-8b2f1c3e-0a55-4d0c-9d8e-1f0f5a1d2c01, NVIDIA H100 80GB HBM3, 81559
2, GPU-c6a0b8d2-71c4-77aa-0a3b-5be1d7a35e02, NVIDIA H100 80GB HBM3, 81559
";

    fn gpus() -> Gpus {
        Gpus { maker: Maker::Nvidia, all: nvidia(EIGHT) }
    }

    fn indexes(all: &[u32]) -> BTreeSet<GpuIndex> {
        all.iter().copied().map(GpuIndex).collect()
    }

    #[test]
    fn the_tools_words_are_read() {
        assert_eq!(gpus().indexes(), indexes(&[0, 1, 2]));
        assert_eq!(gpus().all.first().map(|gpu| gpu.uuid.as_str()), Some("GPU-8b2f1c3e-0a55-4d0c-9d8e-1f0f5a1d2c00"));
        assert!(nvidia("No devices were found\n").is_empty());
        let rocm =
            "WARNING: AMD GPU device(s) is/are in a low-power state\ndevice,Unique ID\ncard0,0x5e9d4a8f\n\ncard1,N/A\n";
        assert_eq!(amd(rocm).iter().map(|gpu| gpu.index.0).collect::<Vec<_>>(), [0, 1]);
    }

    #[test_case("0,2", &[0, 2])]
    #[test_case(" 1 , 0 ", &[0, 1]; "spaces")]
    #[test_case("GPU-c6a0", &[2]; "the beginning of a UUID")]
    #[test_case("", &[]; "none")]
    #[test_case("-1", &[]; "none, as CUDA has it")]
    #[test_case("0,9,1", &[0]; "nothing after what is not there")]
    #[test_case("MIG-1/2/3", &[]; "a part of one")]
    #[test_case("GPU-", &[]; "no UUID")]
    fn a_variable_names(variable: &str, named: &[u32]) {
        assert_eq!(gpus().named_by(variable), indexes(named));
    }

    #[test]
    fn who_was_given_some_has_no_others() {
        assert_eq!(gpus().within(Some("2,1")).indexes(), indexes(&[1, 2]));
        assert_eq!(gpus().within(None).indexes(), indexes(&[0, 1, 2]));
    }
}
