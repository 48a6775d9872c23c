//! From settings as they were written to [`Settings`] that hold and fit together.

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use super::values::{self, NodeName, Written};
use super::{
    Durability, FANOUT, Flags, GOSSIP_PORT, HTTP_PORT, LogFormat, RepairMethod, Settings, SettingsError,
    VALUE_BYTES_LIMIT,
};

const REPAIR_INTERVAL_MIN: Duration = Duration::from_millis(10);
const REPAIR_INTERVAL_MAX: Duration = Duration::from_secs(3600);
const FANOUT_MAX: usize = 64;
/// The largest value must pass within one session, beside another one, and a frame well before its peer takes silence
/// for the end.
const REPAIR_BYTES_PER_SECOND_MIN: u64 = 128 << 10;
/// A pass over 80 GB takes half a day, one over a million entries of 100 bytes two minutes, and as long as it lasts it
/// costs a twenty-fifth of a core (measured: 52 MB/s with one).
const SCRUB_BYTES_PER_SECOND: u64 = 2 << 20;
/// The largest value is read in less than five minutes.
const SCRUB_BYTES_PER_SECOND_MIN: u64 = 64 << 10;
/// Longer than a session may last: what one has named must still be there when its data comes.
const FORGET_GRACE_MIN: Duration = Duration::from_secs(360);
const FORGET_GRACE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
const TRANSPORT_DELAY_MAX: Duration = Duration::from_secs(5);

/// Who said the value of a setting.
type SaidBy<'a> = &'a dyn Fn(&str) -> String;

/// Reads every value and checks them against each other.
pub(crate) fn settings(written: &Flags, said_by: SaidBy<'_>) -> Result<Settings, SettingsError> {
    let reader = Reader { said_by };
    let loopback = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let default_dir = || PathBuf::from("mangrove-data/node");
    let settings = Settings {
        data_dir: reader.read("data_dir", &written.data_dir, data_dir)?.unwrap_or_else(default_dir),
        http: reader.read("http", &written.http, values::bind_address)?.unwrap_or(loopback(HTTP_PORT)),
        gossip: reader
            .read("gossip", &written.gossip, values::bind_address)?
            .unwrap_or(loopback(GOSSIP_PORT)),
        advertise: written.advertise.clone().map(|text| text.0),
        join: reader.seeds(&written.join)?,
        found: reader.read("found", &written.found, values::switch)?.unwrap_or(false),
        name: reader.read("name", &written.name, name)?.unwrap_or_else(NodeName::of_this_machine),
        insecure: reader.read("insecure", &written.insecure, values::switch)?.unwrap_or(false),
        log_format: reader.read("log_format", &written.log_format, log_format)?.unwrap_or(LogFormat::Pretty),
        log_level: reader.read("log_level", &written.log_level, log_level)?.unwrap_or(tracing::Level::INFO),
        repair_interval: reader
            .read("repair_interval", &written.repair_interval, repair_interval)?
            .unwrap_or(Duration::from_secs(1)),
        rumors: reader.read("rumors", &written.rumors, values::switch)?.unwrap_or(true),
        anti_entropy: reader.read("anti_entropy", &written.anti_entropy, values::switch)?.unwrap_or(true),
        value_bytes_max: reader
            .read("value_bytes_max", &written.value_bytes_max, value_bytes)?
            .unwrap_or(1 << 20),
        fanout: reader.read("fanout", &written.fanout, fanout)?.unwrap_or(usize::from(FANOUT)),
        durability: reader.read("durability", &written.durability, durability)?.unwrap_or(Durability::Fsync),
        repair_max_bytes_per_second: reader.read(
            "repair_max_bytes_per_second",
            &written.repair_max_bytes_per_second,
            repair_rate,
        )?,
        repair_governor: reader
            .read("repair_governor", &written.repair_governor, values::switch)?
            .unwrap_or(true),
        forget_deletes: reader
            .read("forget_deletes", &written.forget_deletes, values::switch)?
            .unwrap_or(true),
        forget_grace: reader
            .read("forget_grace", &written.forget_grace, forget_grace)?
            .unwrap_or(Duration::from_secs(600)),
        repair_method: reader
            .read("repair_method", &written.repair_method, repair_method)?
            .unwrap_or(RepairMethod::Auto),
        scrub_bytes_per_second: reader
            .read("scrub_bytes_per_second", &written.scrub_bytes_per_second, scrub_rate)?
            .unwrap_or(SCRUB_BYTES_PER_SECOND),
        allow_drills: reader.read("allow_drills", &written.allow_drills, values::switch)?.unwrap_or(false),
        transport_delay: reader
            .read("transport_delay", &written.transport_delay, transport_delay)?
            .unwrap_or(Duration::ZERO),
    };
    let advertise_port = if settings.gossip.port() == 0 { GOSSIP_PORT } else { settings.gossip.port() };
    let advertise =
        reader.read("advertise", &written.advertise, |text| values::reachable(text, advertise_port))?;
    fitting(Settings { advertise, ..settings }, said_by)
}

/// Reads values so that an error says which one and who said it.
struct Reader<'a> {
    said_by: SaidBy<'a>,
}

impl Reader<'_> {
    fn read<T>(
        &self,
        key: &str,
        written: &Option<Written>,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, SettingsError> {
        written.as_ref().map(|text| self.one(key, text, read)).transpose()
    }

    fn one<T>(
        &self,
        key: &str,
        written: &Written,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, SettingsError> {
        read(written.0.trim()).map_err(|wants| {
            SettingsError(format!("{} is {:?}, but it {wants}", (self.said_by)(key), written.0))
        })
    }

    fn seeds(&self, written: &[Written]) -> Result<Vec<String>, SettingsError> {
        written
            .iter()
            .map(|text| self.one("join", text, |text| values::reachable(text, GOSSIP_PORT)))
            .collect()
    }
}

fn data_dir(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() { Err("wants a folder".to_owned()) } else { Ok(PathBuf::from(text)) }
}

fn name(text: &str) -> Result<NodeName, String> {
    NodeName::new(text).map_err(str::to_owned)
}

fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "pretty" => Ok(LogFormat::Pretty),
        "json" => Ok(LogFormat::Json),
        _ => Err("wants pretty or json".to_owned()),
    }
}

fn log_level(text: &str) -> Result<tracing::Level, String> {
    let known = ["error", "warn", "info", "debug", "trace"];
    let level = known.contains(&text).then(|| text.parse().ok()).flatten();
    level.ok_or_else(|| "wants error, warn, info, debug or trace".to_owned())
}

fn durability(text: &str) -> Result<Durability, String> {
    match text {
        "fsync" => Ok(Durability::Fsync),
        "interval" => Ok(Durability::Interval),
        _ => Err("wants fsync or interval".to_owned()),
    }
}

fn repair_interval(text: &str) -> Result<Duration, String> {
    let interval = values::duration(text)?;
    if (REPAIR_INTERVAL_MIN..=REPAIR_INTERVAL_MAX).contains(&interval) {
        return Ok(interval);
    }
    Err("wants 10ms to 1h".to_owned())
}

fn value_bytes(text: &str) -> Result<u64, String> {
    let bytes = values::bytes(text)?;
    if (1..=VALUE_BYTES_LIMIT).contains(&bytes) { Ok(bytes) } else { Err("wants 1 to 16MiB".to_owned()) }
}

fn fanout(text: &str) -> Result<usize, String> {
    let members = text.parse().ok().filter(|members| (1..=FANOUT_MAX).contains(members));
    members.ok_or_else(|| "wants a number from 1 to 64".to_owned())
}

fn repair_rate(text: &str) -> Result<NonZeroU64, String> {
    let rate = NonZeroU64::new(values::bytes(text)?).filter(|rate| rate.get() >= REPAIR_BYTES_PER_SECOND_MIN);
    rate.ok_or_else(|| "wants 128KiB (a second) or more; leave it out for no limit".to_owned())
}

fn scrub_rate(text: &str) -> Result<u64, String> {
    let rate = values::bytes(text)?;
    if rate == 0 || rate >= SCRUB_BYTES_PER_SECOND_MIN {
        return Ok(rate);
    }
    Err("wants 64KiB (a second) or more, or 0 for none".to_owned())
}

fn repair_method(text: &str) -> Result<RepairMethod, String> {
    match text {
        "auto" => Ok(RepairMethod::Auto),
        "tree" => Ok(RepairMethod::Tree),
        "sketch" => Ok(RepairMethod::Sketch),
        _ => Err("wants auto, tree or sketch".to_owned()),
    }
}

fn forget_grace(text: &str) -> Result<Duration, String> {
    let grace = values::duration(text)?;
    if (FORGET_GRACE_MIN..=FORGET_GRACE_MAX).contains(&grace) {
        return Ok(grace);
    }
    Err("wants 6m to 7d".to_owned())
}

fn transport_delay(text: &str) -> Result<Duration, String> {
    let delay = values::duration(text)?;
    if delay <= TRANSPORT_DELAY_MAX { Ok(delay) } else { Err("wants 0s to 5s".to_owned()) }
}

/// Checks what single values cannot show.
fn fitting(settings: Settings, said_by: SaidBy<'_>) -> Result<Settings, SettingsError> {
    for (key, address) in [("http", settings.http), ("gossip", settings.gossip)] {
        if !settings.insecure && !address.ip().is_loopback() {
            return Err(SettingsError(format!(
                "{} is {address}, which other machines can reach, and nothing is encrypted or authenticated yet: \
                 choose a loopback address like 127.0.0.1:{}, or add --insecure if the network is private",
                said_by(key),
                address.port()
            )));
        }
    }
    if settings.gossip.ip().is_unspecified() && settings.advertise.is_none() {
        return Err(SettingsError(format!(
            "{} is {}, which is no address that others could reach: add --advertise HOST:{} with the name or \
             address under which they do",
            said_by("gossip"),
            settings.gossip,
            settings.gossip.port()
        )));
    }
    if settings.http.port() != 0 && settings.http.port() == settings.gossip.port() && overlap(&settings) {
        return Err(SettingsError(format!(
            "HTTP and gossip cannot both listen on port {}: change --http or --gossip",
            settings.http.port()
        )));
    }
    Ok(settings)
}

fn overlap(settings: &Settings) -> bool {
    let (http, gossip) = (settings.http.ip(), settings.gossip.ip());
    http == gossip || http.is_unspecified() || gossip.is_unspecified()
}
