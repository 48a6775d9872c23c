//! The three places where a setting can be said, one over the other, and who said what.

use std::path::{Path, PathBuf};

use clap::Args;
use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider, Source};
use serde::{Deserialize, Deserializer, Serialize};

use super::check;
use super::nearest::nearest;
use super::values::Written;
use super::{Settings, SettingsError};

/// The start of the name of every environment variable that Mangrove reads.
const PREFIX: &str = "MANGROVE_";

/// Variables with that start that are no settings of a node.
const NO_SETTINGS: [&str; 3] = ["MANGROVE_CONFIG", "MANGROVE_ENDPOINTS", "MANGROVE_LOG"];

/// The settings of a node as they were written: what flags, the TOML file and the environment have in common.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args, Serialize, Deserialize)]
#[serde(default)]
pub struct Flags {
    /// Where the node keeps everything; made if it is not there [env: MANGROVE_DATA_DIR] [default: mangrove-data/node]
    #[arg(long, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<Written>,

    /// Where HTTP is served [env: MANGROVE_HTTP] [default: 127.0.0.1:7710]
    #[arg(long, value_name = "ADDRESS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<Written>,

    /// Where other nodes' heartbeats (UDP) and frames (TCP) arrive [env: MANGROVE_GOSSIP] [default: 127.0.0.1:7711]
    #[arg(long, value_name = "ADDRESS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gossip: Option<Written>,

    /// Host and port under which others reach the gossip address [env: MANGROVE_ADVERTISE] [default: the bound address]
    #[arg(long, value_name = "HOST:PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advertise: Option<Written>,

    /// Gossip addresses of members to join, comma-separated; tried for ever [env: MANGROVE_JOIN]
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "list")]
    pub join: Vec<Written>,

    /// Found a cluster if no seed answers and the data directory is empty [env: MANGROVE_FOUND]
    #[arg(long, value_name = "on|off", num_args = 0..=1, require_equals = true, default_missing_value = "on")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<Written>,

    /// The node's name, unique in its cluster [env: MANGROVE_NAME] [default: this machine's name]
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Written>,

    /// Allow addresses beyond loopback, although nothing is encrypted or authenticated [env: MANGROVE_INSECURE]
    #[arg(long, value_name = "on|off", num_args = 0..=1, require_equals = true, default_missing_value = "on")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub insecure: Option<Written>,

    /// How log lines are written: pretty or json [env: MANGROVE_LOG_FORMAT] [default: pretty]
    #[arg(long, value_name = "FORMAT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_format: Option<Written>,

    /// The least level logged: error, warn, info, debug or trace [env: MANGROVE_LOG_LEVEL] [default: info]
    #[arg(long, value_name = "LEVEL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_level: Option<Written>,

    /// Time between two repair sessions, 10ms to 1h; up to eight times as long while nothing changes [env: MANGROVE_REPAIR_INTERVAL] [default: 1s]
    #[arg(long, value_name = "DURATION", help_heading = "Tuning")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repair_interval: Option<Written>,

    /// Push new writes at once: on or off [env: MANGROVE_RUMORS] [default: on]
    #[arg(long, value_name = "on|off", help_heading = "Tuning")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rumors: Option<Written>,

    /// Begin repair sessions: on or off [env: MANGROVE_ANTI_ENTROPY] [default: on]
    #[arg(long, value_name = "on|off", help_heading = "Tuning")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anti_entropy: Option<Written>,

    /// The largest value a client may write, up to 16MiB [env: MANGROVE_VALUE_BYTES_MAX] [default: 1MiB]
    #[arg(long, value_name = "SIZE", help_heading = "Tuning")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_bytes_max: Option<Written>,

    /// To how many members a new write is pushed, 1 to 64 [env: MANGROVE_FANOUT] [default: 3]
    #[arg(long, value_name = "MEMBERS", help_heading = "Tuning")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fanout: Option<Written>,

    /// When an acknowledged write is on disk: fsync (before) or interval (within about a second after) [env: MANGROVE_DURABILITY] [default: fsync]
    #[arg(long, value_name = "fsync|interval", help_heading = "Tuning")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub durability: Option<Written>,

    /// Bytes a second that repair may send and take in, 128KiB or more [env: MANGROVE_REPAIR_MAX_BYTES_PER_SECOND] [default: no limit]
    #[arg(long, value_name = "SIZE", help_heading = "Tuning")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repair_max_bytes_per_second: Option<Written>,

    /// Slow repair down while it makes clients wait: on or off [env: MANGROVE_REPAIR_GOVERNOR] [default: on]
    #[arg(long, value_name = "on|off", help_heading = "Tuning")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repair_governor: Option<Written>,

    /// Forget deletes once every member is known to hold them: on or off, the same on all nodes [env: MANGROVE_FORGET_DELETES] [default: on]
    #[arg(long, value_name = "on|off", help_heading = "Tuning")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forget_deletes: Option<Written>,

    /// How long a forgotten delete stays on the disk after it has left the tree, 6m to 7d [env: MANGROVE_FORGET_GRACE] [default: 10m]
    #[arg(long, value_name = "DURATION", help_heading = "Tuning")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forget_grace: Option<Written>,

    /// How repair finds what differs: auto, tree or sketch [env: MANGROVE_REPAIR_METHOD] [default: auto]
    #[arg(long, value_name = "METHOD", help_heading = "Tuning")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repair_method: Option<Written>,

    /// Bytes a second to read again in search of damage, 64KiB or more; 0 for none [env: MANGROVE_SCRUB_BYTES_PER_SECOND] [default: 2MiB]
    #[arg(long, value_name = "SIZE", help_heading = "Tuning")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scrub_bytes_per_second: Option<Written>,

    /// Let clients cut this node off from the others for a bounded time, to practise [env: MANGROVE_ALLOW_DRILLS]
    #[arg(long, value_name = "on|off", num_args = 0..=1, require_equals = true, default_missing_value = "on", help_heading = "Tests and benchmarks")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_drills: Option<Written>,

    /// Hold each frame and heartbeat back this long before it is sent, up to 5s [env: MANGROVE_TRANSPORT_DELAY] [default: 0s]
    #[arg(long, value_name = "DURATION", help_heading = "Tests and benchmarks")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transport_delay: Option<Written>,
}

/// The names of all settings, as the TOML file spells them.
pub(crate) const KEYS: [&str; 24] = [
    "data_dir",
    "http",
    "gossip",
    "advertise",
    "join",
    "found",
    "name",
    "insecure",
    "log_format",
    "log_level",
    "repair_interval",
    "rumors",
    "anti_entropy",
    "value_bytes_max",
    "fanout",
    "durability",
    "repair_max_bytes_per_second",
    "repair_governor",
    "forget_deletes",
    "forget_grace",
    "repair_method",
    "scrub_bytes_per_second",
    "allow_drills",
    "transport_delay",
];

/// Collects the settings of a node: `flags` over the `MANGROVE_*` among `environment` over the TOML file
/// `config` over the defaults. Gives back the settings and warnings worth a log line.
///
/// # Errors
/// One sentence that names the value, where it came from and what to write instead.
pub fn load(
    flags: &Flags,
    environment: impl IntoIterator<Item = (String, String)>,
    config: Option<&Path>,
) -> Result<(Settings, Vec<String>), SettingsError> {
    let (variables, warnings) = environment_layer(environment);
    let mut figment = Figment::new();
    if let Some(path) = config {
        figment = figment.merge(file_layer(path)?);
    }
    let figment = figment
        .merge(Layer { name: ENVIRONMENT, values: variables })
        .merge(Layer { name: FLAGS, values: flags_layer(flags)? });
    let written: Flags = figment.extract().map_err(|error| unreadable(&error))?;
    let settings = check::settings(&written, &|key| said_by(&figment, key))?;
    Ok((settings, warnings))
}

const ENVIRONMENT: &str = "environment";
const FLAGS: &str = "flags";

/// One place where settings were said.
struct Layer {
    name: &'static str,
    values: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}

fn flags_layer(flags: &Flags) -> Result<Dict, SettingsError> {
    let value = Value::serialize(flags).map_err(|error| unreadable(&error))?;
    Ok(value.into_dict().unwrap_or_default())
}

/// The settings among the environment's variables. A variable that is none is no error, because an
/// orchestrator may make some of its own (`MANGROVE_PORT` for a service of that name); one that looks like a
/// slip of the hand is a warning.
fn environment_layer(environment: impl IntoIterator<Item = (String, String)>) -> (Dict, Vec<String>) {
    let (mut values, mut warnings) = (Dict::new(), Vec::new());
    for (variable, value) in environment {
        let Some(key) = variable.strip_prefix(PREFIX).map(str::to_ascii_lowercase) else { continue };
        if KEYS.contains(&key.as_str()) {
            values.insert(key, Value::from(value));
        } else if !NO_SETTINGS.contains(&variable.as_str())
            && let Some(known) = nearest(&key, KEYS)
        {
            let known = known.to_ascii_uppercase();
            warnings
                .push(format!("{variable} is not a setting and was ignored; did you mean {PREFIX}{known}?"));
        }
    }
    (values, warnings)
}

fn file_layer(path: &Path) -> Result<impl Provider + use<>, SettingsError> {
    let shown = path.display();
    // Read here first: a file that is missing must be an error, and figment's own text does not say what to do.
    std::fs::read_to_string(path).map_err(|error| {
        SettingsError(format!(
            "the settings file {shown} cannot be read: {error}; correct --config or MANGROVE_CONFIG"
        ))
    })?;
    let file = Toml::file_exact(path);
    let said: Dict = Figment::from(&file).extract().map_err(|error| {
        let text = error.to_string();
        let first: Vec<&str> = text.split_whitespace().collect();
        SettingsError(format!("the settings file {shown} is not valid TOML: {}", first.join(" ")))
    })?;
    if let Some(key) = said.keys().find(|key| !KEYS.contains(&key.as_str())) {
        let hint = match nearest(key, KEYS) {
            Some(known) => format!("did you mean {known:?}?"),
            None => format!("the settings are {}", KEYS.join(", ")),
        };
        return Err(SettingsError(format!("{key:?} in {shown} is not a setting; {hint}")));
    }
    Ok(file)
}

/// Who said the value of `key`, in the words in which it was said.
fn said_by(figment: &Figment, key: &str) -> String {
    let Some(metadata) = figment.find_metadata(key) else { return "the default".to_owned() };
    match (&metadata.source, metadata.name.as_ref()) {
        (Some(Source::File(path)), _) => format!("{key} in {}", short(path).display()),
        (_, ENVIRONMENT) => format!("{PREFIX}{}", key.to_ascii_uppercase()),
        _ => format!("--{}", key.replace('_', "-")),
    }
}

/// The path as people would write it: relative where it lies under the working directory.
fn short(path: &Path) -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&here).unwrap_or(path).to_path_buf()
}

fn unreadable(error: &figment::Error) -> SettingsError {
    let key = error.path.join(".");
    let shown = error.metadata.as_ref().and_then(|metadata| match &metadata.source {
        Some(Source::File(path)) => Some(format!(" in {}", short(path).display())),
        _ => None,
    });
    SettingsError(format!("{key}{} has the wrong shape: {}", shown.unwrap_or_default(), error.kind))
}

/// Reads a list of addresses: an array, or one string with commas.
fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Written>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum List {
        One(String),
        Many(Vec<Written>),
    }
    let parts = match List::deserialize(deserializer)? {
        List::One(text) => text.split(',').map(|part| Written(part.trim().to_owned())).collect(),
        List::Many(parts) => parts,
    };
    Ok(parts.into_iter().filter(|part: &Written| !part.0.is_empty()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_all_settings_are_those_of_the_flags() {
        let some = || Some(Written("x".to_owned()));
        let all = Flags {
            data_dir: some(),
            http: some(),
            gossip: some(),
            advertise: some(),
            join: vec![Written("x".to_owned())],
            found: some(),
            name: some(),
            insecure: some(),
            log_format: some(),
            log_level: some(),
            repair_interval: some(),
            rumors: some(),
            anti_entropy: some(),
            value_bytes_max: some(),
            fanout: some(),
            durability: some(),
            repair_max_bytes_per_second: some(),
            repair_governor: some(),
            forget_deletes: some(),
            forget_grace: some(),
            repair_method: some(),
            scrub_bytes_per_second: some(),
            allow_drills: some(),
            transport_delay: some(),
        };
        let mut named: Vec<String> = flags_layer(&all).unwrap().into_keys().collect();
        let mut known = KEYS.map(str::to_owned).to_vec();
        named.sort();
        known.sort();
        assert_eq!(named, known);
    }
}
