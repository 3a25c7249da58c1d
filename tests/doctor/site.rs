//! A login host of a site with what these clusters have not: Slurm's database, and a clock of its own. Its Slurm is a
//! stand-in, in Slurm's own words.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use crate::login_host::Gate;
use crate::patient::{Diagnosis, Patient};

/// Takes a job of `physics`, or of `chem` in the partition `gpu`, and of the qualities that those have.
const SRUN: &str = r#"#!/bin/sh
account=none qos=normal partition=main
while [ $# -gt 0 ]; do
  case $1 in
    --version) echo 'slurm 22.05.8'; exit ;;
    --account=*) account=${1#*=} ;;
    -A) account=$2; shift ;;
    --qos=*) qos=${1#*=} ;;
    -p) partition=$2; shift ;;
  esac
  shift
done
case $account/$partition in
  physics/*) fits='normal long' ;;
  chem/gpu) fits=high ;;
  *) echo 'srun: error: Unable to allocate resources: Invalid account or account/partition combination specified' >&2; exit 1 ;;
esac
for name in $fits; do
  [ "$name" != "$qos" ] || { echo 'srun: Job 7 to start at 2026-11-21T12:00:00 using 1 processors on nodes n1 in partition main' >&2; exit; }
done
echo 'srun: error: Unable to allocate resources: Invalid qos specification' >&2
exit 1
"#;

const SACCTMGR: &str = r#"#!/bin/sh
case $* in
  *"user=$(id -un) "*) printf '%s\n' 'alchemy||gold|elsewhere' 'physics||normal,long|here' 'chem|gpu|high|here' ;;
esac
"#;

const SCONTROL: &str = "#!/bin/sh\ncase $* in\n  --version) echo 'slurm 22.05.8' ;;\n  'show config') printf '%s\\n' 'BOOT_TIME               = now' 'ClusterName             = here' ;;\nesac\n";

const OTHERS: &str = "#!/bin/sh\ncase $1 in --version) echo 'slurm 22.05.8' ;; esac\n";

struct Site {
    gate: Gate,
    _programs: tempfile::TempDir,
}

impl Site {
    fn start() -> Self {
        let programs = tempfile::tempdir().expect("a folder");
        for (name, text) in [
            ("srun", SRUN),
            ("sacctmgr", SACCTMGR),
            ("scontrol", SCONTROL),
            ("squeue", OTHERS),
            ("scancel", OTHERS),
            ("sinfo", OTHERS),
        ] {
            let file = programs.path().join(name);
            fs::write(&file, text).expect("a program");
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("a program");
        }
        let path = format!("SetEnv PATH={}:/usr/local/bin:/usr/bin:/bin", programs.path().display());
        Self { gate: Gate::start(&path), _programs: programs }
    }

    fn job(&self, patient: &Patient<'_>, args: &str) -> Diagnosis {
        patient.examine(&self.gate.words(&["--use-slurm", "--srun-args", args]))
    }
}

#[test]
fn an_account_that_is_not_ones_own_leads_to_one_that_is() {
    let (site, patient) = (Site::start(), Patient::here());
    patient.call_again(&site.job(&patient, "--mem=1G").fault("job", "Invalid account"));
    patient.call_again(&site.job(&patient, "-A phsyics").fault("job", "Invalid account"));
    patient.call_again(&site.job(&patient, "-A chem -p main").fault("job", "Invalid account"));
    assert!(site.job(&patient, "-A physics").is_ok("job").contains("to start at 20"));
}

#[test]
fn a_quality_of_service_that_an_account_has_not_leads_to_one_that_it_has() {
    let (site, patient) = (Site::start(), Patient::here());
    patient.call_again(&site.job(&patient, "-A physics --qos=lng").fault("job", "Invalid qos"));
    patient.call_again(&site.job(&patient, "-A chem -p gpu").fault("job", "Invalid qos"));
}

/// The disk of a node may be another one.
#[test]
fn of_room_on_a_node_the_login_host_knows_nothing() {
    let (site, patient) = (Site::start(), Patient::here());
    let home = patient.home().join("hf");
    fs::create_dir_all(home.join("hub")).expect("a folder");
    let text = "model: org/M\nserve_config: {model_size: 900TB}\n";
    fs::write(patient.home().join("one.yaml"), text).expect("a file");
    let home = format!("HF_HOME={}", home.display());
    let more = ["--use-slurm", "--srun-args", "-A physics", "--env", &home, "--config", "one.yaml"];
    let found = patient.examine(&site.gate.words(&more));
    let advice = found.warning("space", "org/M is 838190.3 GiB");
    found.warning("space", "as seen from the login host");
    assert!(found.found("space", "fail").is_none(), "{advice}");
}

/// The library that tells a process another time.
fn faketime() -> PathBuf {
    let folders = fs::read_dir("/usr/lib").expect("/usr/lib").flatten();
    let files = folders.map(|folder| folder.path().join("faketime/libfaketime.so.1"));
    files.into_iter().find(|file| file.exists()).expect("libfaketime (of Debian's faketime)")
}

/// Who runs the machine sets its clock, as the advice says.
#[test]
fn a_clock_that_is_wrong_is_named_until_it_is_set() {
    let (patient, folder) = (Patient::here(), tempfile::tempdir().expect("a folder"));
    let clock = folder.path().join("clock");
    let (library, file) = (faketime(), clock.display());
    let environment = format!("LD_PRELOAD={} FAKETIME_TIMESTAMP_FILE={file} FAKETIME_NO_CACHE=1", library.display());
    let gate = Gate::start(&format!("SetEnv {environment}"));
    for (skew, way) in [("+300s", "s ahead of ours"), ("-2h", "s behind ours")] {
        fs::write(&clock, skew).expect("a clock");
        let found = patient.examine(&gate.words(&[]));
        found.warning("clock", way);
        assert!(found.found("clock", "warn").expect("it is there").to_string().contains("by NTP"));
    }
    fs::write(&clock, "+0s").expect("a clock");
    assert!(patient.examine(&gate.words(&[])).is_ok("clock").contains("agree"));
}
