//! A random run, made from its seed before it begins: machines, requests and faults, each with its time. So a fault can be
//! left out without changing anything else.

use std::time::Duration;

use gossip::coordinator::{VALUE_BYTES_LIMIT, WriteLimits};
use gossip::core::CoreConfig;
use gossip::rules::Rules;
use gossip::wire::WIRE_VERSION;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, RngExt};

use crate::client::{Op, OpKind};
use crate::dice::Dice;
use crate::disk::Kept;
use crate::fault::Fault;
use crate::host::{HostId, HostSettings};
use crate::network::NetworkConfig;
use crate::world::Setting;

/// The first of many keys: the few that most requests are for come before.
const MANY_FROM: u16 = 100;

/// What is asked of a random run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanOptions {
    /// Which rules hold.
    pub rules: Rules,
    /// Deletes are forgotten, as is the default, and disks put back to old backups: where nothing is forgotten no node can
    /// tell that its disk is one.
    pub forgets_deletes: bool,
}

impl Default for PlanOptions {
    fn default() -> Self {
        Self { rules: Rules::default(), forgets_deletes: true }
    }
}

/// A run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What holds throughout.
    pub setting: Setting,
    /// The machines, and when each is first switched on.
    pub hosts: Vec<(HostId, HostSettings, Duration)>,
    /// What clients do.
    pub ops: Vec<(Duration, Op)>,
    /// What goes wrong.
    pub faults: Vec<(Duration, Fault)>,
    /// When faults stop.
    pub end: Duration,
}

impl Plan {
    /// The run of a seed.
    pub fn random(seed: u64, options: PlanOptions) -> Self {
        let dice = Dice::new(seed);
        let mut rng = dice.of("plan", (0, 0));
        let count = *[2, 3, 3, 3, 3, 4, 5].choose(&mut rng).unwrap_or(&3);
        // Watermarks take some steps of time to rise over anything.
        let long = options.forgets_deletes && rng.random_ratio(1, 2);
        let end =
            Duration::from_secs(if long { rng.random_range(60..150) } else { rng.random_range(15..50) });
        let network = network(&mut rng);
        let core = core(options, &mut rng);
        let written_tokens = dice.of("tokens", (0, 0)).random_ratio(1, 4);
        let limits = WriteLimits { value_bytes_max: VALUE_BYTES_LIMIT, ..WriteLimits::default() };
        let setting = Setting { seed, rules: options.rules, network, core, limits, written_tokens };
        let hosts = hosts(count, &mut rng);
        let mut ops = ops(count, end, &mut dice.of("clients", (0, 0)));
        let mut bulk = dice.of("bulk", (0, 0));
        if bulk.random_ratio(1, 16) {
            ops.extend(many_keys(count, end, &mut bulk));
            ops.extend(long_values(count, end, network.bytes_a_ms, &mut bulk));
        }
        let mut rng = dice.of("faults", (0, 0));
        let mut faults = faults(hosts.len() as u16, end, options, &mut rng);
        if count > 2 && rng.random_ratio(1, 6) {
            faults.extend(two_at_once(count, end, &mut rng));
            faults.sort_by_key(|(at, _)| *at);
        }
        let mut backups = dice.of("backups", (0, 0));
        if options.forgets_deletes && backups.random_ratio(1, 8) {
            faults.extend(all_at_once(hosts.len() as u16, end, &mut backups));
            faults.sort_by_key(|(at, _)| *at);
        }
        faults.extend(acts(hosts.len() as u16, end, &faults, &mut dice.of("acts", (0, 0))));
        faults.extend(clocks(hosts.len() as u16, &mut dice.of("clocks", (0, 0))));
        faults.sort_by_key(|(at, _)| *at);
        for (at, fault) in &faults {
            if let Fault::Rot { host, found, .. } = fault
                && rng.random_ratio(1, 2)
            {
                ops.extend(asking_on(*host, *at + *found, end, &mut rng));
            }
        }
        ops.sort_by_key(|(at, _)| *at);
        Self { setting, hosts, ops, faults, end }
    }
}

fn core(options: PlanOptions, rng: &mut StdRng) -> CoreConfig {
    let fanout = *[0, 1, 4, 4, 4].choose(rng).unwrap_or(&4);
    // Short: quiet waits for the end of it.
    let grace = Duration::from_secs(*[1, 2, 4, 15].choose(rng).unwrap_or(&4));
    CoreConfig { fanout, grace, forgets_deletes: options.forgets_deletes, ..CoreConfig::default() }
}

fn network(rng: &mut StdRng) -> NetworkConfig {
    let usual = *[500, 900, 5_000, 30_000].choose(rng).unwrap_or(&900);
    NetworkConfig {
        delay_usual: Duration::from_micros(usual),
        delay_long: Duration::from_millis(rng.random_range(5..150)),
        long_permille: rng.random_range(0..60),
        lost_permille: *[0, 0, 10, 50].choose(rng).unwrap_or(&0),
        doubled_permille: *[0, 0, 20].choose(rng).unwrap_or(&0),
        bytes_a_ms: *[100_000, 1_000, 50].choose(rng).unwrap_or(&100_000),
        ..NetworkConfig::default()
    }
}

/// The machines of a run: some begin together, some come later, and now and then one has another's name.
fn hosts(count: u16, rng: &mut StdRng) -> Vec<(HostId, HostSettings, Duration)> {
    let seeds =
        |own: u16| (1..=count).filter(move |id| *id != own).map(|id| crate::world::seed_name(HostId(id)));
    let two_founders = rng.random_ratio(1, 8);
    let mut hosts: Vec<_> = (1..=count)
        .map(|id| {
            let may_found = id == 1 || (id == 2 && two_founders);
            let settings = HostSettings { name: format!("n{id}"), seeds: seeds(id).collect(), may_found };
            let at = Duration::from_millis(if id == 1 { 0 } else { rng.random_range(0..6_000) });
            (HostId(id), settings, at)
        })
        .collect();
    if rng.random_ratio(1, 5) {
        let id = count + 1;
        let taken = rng.random_ratio(1, 3);
        let name = if taken { format!("n{}", rng.random_range(1..=count)) } else { format!("n{id}") };
        let settings = HostSettings { name, seeds: seeds(id).collect(), may_found: false };
        hosts.push((HostId(id), settings, Duration::from_millis(rng.random_range(5_000..25_000))));
    }
    hosts
}

fn ops(count: u16, end: Duration, rng: &mut StdRng) -> Vec<(Duration, Op)> {
    let keys = rng.random_range(1..8);
    let requests = rng.random_range(30..300_u64);
    // Of how many values in ten one expires.
    let expiring = *[0, 0, 2, 5, 10].choose(rng).unwrap_or(&0);
    let mut ops = Vec::new();
    for number in 0..requests {
        let at = Duration::from_micros(rng.random_range(500_000..end.as_micros() as u64));
        let kind = match rng.random_range(0..10) {
            0..4 if rng.random_range(0..10) < expiring => OpKind::PutFor(number, ms(rng, 100, 40_000)),
            0..4 => OpKind::Put(number),
            4..6 => OpKind::Delete,
            6..8 => OpKind::Get,
            _ => OpKind::GetAll,
        };
        let token = rng.random_ratio(2, 5).then(|| rng.random_range(0..12));
        let op =
            Op { host: HostId(rng.random_range(1..=count)), key: rng.random_range(0..keys), kind, token };
        ops.push((at, op));
    }
    if rng.random_ratio(1, 8) {
        ops.extend(burst(count, end, rng));
    }
    ops.sort_by_key(|(at, _)| *at);
    ops
}

/// One token used for eighty writes at two nodes at once: more siblings together than a coordinator accepts.
fn burst(count: u16, end: Duration, rng: &mut StdRng) -> Vec<(Duration, Op)> {
    let begin = Duration::from_micros(rng.random_range(2_000_000..end.as_micros() as u64));
    let mut hosts: Vec<HostId> = (1..=count).map(HostId).collect();
    hosts.shuffle(rng);
    let read = Op { host: *hosts.first().unwrap_or(&HostId(1)), key: 0, kind: OpKind::GetAll, token: None };
    let write = |(number, host): (u64, &HostId)| {
        let op = Op { host: *host, key: 0, kind: OpKind::Put(number), token: Some(0) };
        (begin + Duration::from_micros(1 + number), op)
    };
    let writes = (1_000..1_080).zip(hosts.iter().take(2).cycle()).map(write);
    std::iter::once((begin, read)).chain(writes).collect()
}

/// Keys by the hundred, within seconds: so many that trees grow and walks take several turns.
fn many_keys(count: u16, end: Duration, rng: &mut StdRng) -> Vec<(Duration, Op)> {
    let keys = rng.random_range(200..1_000_u16);
    let begin = rng.random_range(500_000..end.as_micros() as u64);
    let over = *[50_000, 1_000_000, 20_000_000].choose(rng).unwrap_or(&1_000_000);
    // All at one node, or anywhere.
    let only = rng.random::<bool>().then(|| rng.random_range(1..=count));
    let mut one = |number: u16| {
        let at = Duration::from_micros(begin + rng.random_range(0..over)).min(end);
        let (kind, key) = match rng.random_range(0..10) {
            0 => (OpKind::Delete, rng.random_range(0..keys)),
            1 => (OpKind::PutFor(10_000 + u64::from(number), ms(rng, 100, 40_000)), number),
            _ => (OpKind::Put(10_000 + u64::from(number)), number),
        };
        let host = HostId(only.unwrap_or_else(|| rng.random_range(1..=count)));
        (at, Op { host, key: MANY_FROM + key, kind, token: None })
    };
    (0..keys).map(&mut one).collect()
}

/// A few values of 100 KiB to 9 MiB, which travel in pieces; together no more than pass between two nodes in twenty seconds.
fn long_values(count: u16, end: Duration, bytes_a_ms: u32, rng: &mut StdRng) -> Vec<(Duration, Op)> {
    let mut left = bytes_a_ms.saturating_mul(20_000).min(24 << 20);
    let mut ops = Vec::new();
    for number in 0..rng.random_range(0..8) {
        let most = *[300 << 10, 3 << 20, 9 << 20].choose(rng).unwrap_or(&(300 << 10));
        let bytes = rng.random_range(100 << 10..=most);
        let at = Duration::from_micros(rng.random_range(500_000..end.as_micros() as u64));
        let token = rng.random::<bool>().then(|| rng.random_range(0..12));
        let (host, key) = (HostId(rng.random_range(1..=count)), rng.random_range(0..8));
        if bytes <= left {
            left -= bytes;
            ops.push((at, Op { host, key, kind: OpKind::PutLong(20_000 + number, bytes), token }));
        }
    }
    ops
}

fn faults(hosts: u16, end: Duration, options: PlanOptions, rng: &mut StdRng) -> Vec<(Duration, Fault)> {
    let count = *[0, 2, 5, 10, 20, 30].choose(rng).unwrap_or(&5);
    // More disks lost at a time than members can be replaced for is a case of its own.
    let mut disks_to_lose = usize::from(hosts.saturating_sub(1) / 2).max(1);
    let mut faults = Vec::new();
    for _ in 0..count {
        let at = Duration::from_micros(rng.random_range(1_000_000..end.as_micros() as u64));
        let fault = fault(hosts, options, &mut disks_to_lose, rng);
        if let Fault::Restore { host, .. } = fault {
            let earlier = Duration::from_micros(rng.random_range(500_000..at.as_micros() as u64));
            faults.push((earlier, Fault::BackUp { host }));
        }
        faults.push((at, fault));
    }
    faults.sort_by_key(|(at, _)| *at);
    faults
}

/// What operators do: now and then a node is to leave, or a member that is down for long to be removed. Less often where
/// disks are lost, too.
fn acts(hosts: u16, end: Duration, faults: &[(Duration, Fault)], rng: &mut StdRng) -> Vec<(Duration, Fault)> {
    let loses = |fault: &Fault| {
        matches!(fault, Fault::Wipe { .. } | Fault::LoseEngine { .. } | Fault::Restore { .. })
    };
    if hosts < 3 || (faults.iter().any(|(_, fault)| loses(fault)) && rng.random_ratio(1, 2)) {
        return Vec::new();
    }
    let mut acts = Vec::new();
    if rng.random_ratio(1, 4) {
        let at = Duration::from_micros(rng.random_range(8_000_000..end.as_micros() as u64));
        acts.push((at, Fault::Leave { host: HostId(rng.random_range(1..=hosts)), force: false }));
    }
    let down = faults.iter().filter_map(|(at, fault)| match fault {
        Fault::Crash { host, off, .. } if *off > Duration::from_secs(8) => Some((*at, *host, *off)),
        _ => None,
    });
    let down: Vec<_> = down.collect();
    if let Some((at, target, off)) = down.choose(rng).filter(|_| rng.random_ratio(1, 2)) {
        let at = *at
            + Duration::from_secs(6)
            + (*off - Duration::from_secs(6)).mul_f64(rng.random_range(0.0..1.0));
        let host = HostId(rng.random_range(1..=hosts));
        acts.push((at, Fault::Evict { host, target: *target, force: false }));
    }
    acts
}

/// Two members are cut off from the others together, and each loses a record: as in one room with the power gone.
fn two_at_once(count: u16, end: Duration, rng: &mut StdRng) -> Vec<(Duration, Fault)> {
    let mut hosts: Vec<HostId> = (1..=count).map(HostId).collect();
    hosts.shuffle(rng);
    hosts.truncate(2);
    let at = Duration::from_micros(rng.random_range(1_000_000..end.as_micros() as u64));
    let mut faults =
        vec![(at, Fault::Cut { group: hosts.clone(), one_way: false, time: ms(rng, 5_000, 20_000) })];
    for host in hosts {
        let (record, bit) = (rng.random_range(0..1_000), rng.random());
        faults.push((at, Fault::Rot { host, record, bit, found: ms(rng, 1, 100) }));
    }
    faults
}

/// Within seconds some disks are put back, each to a backup of its own time, and other nodes start anew; and clocks are
/// wrong: as after a bad day of a whole site.
fn all_at_once(hosts: u16, end: Duration, rng: &mut StdRng) -> Vec<(Duration, Fault)> {
    let mut shuffled: Vec<HostId> = (1..=hosts).map(HostId).collect();
    shuffled.shuffle(rng);
    let restored = rng.random_range(1..=shuffled.len());
    let end = end.as_millis() as u64;
    let day = rng.random_range(8_000..end - 6_000);
    let mut faults = Vec::new();
    for (i, host) in shuffled.into_iter().enumerate() {
        let at = Duration::from_millis(day + rng.random_range(0..4_000));
        let off = ms(rng, 50, 6_000);
        if i < restored {
            faults.push((Duration::from_millis(rng.random_range(1_000..day)), Fault::BackUp { host }));
            faults.push((at, Fault::Restore { host, off }));
        } else if rng.random_ratio(3, 4) {
            faults.push((at, Fault::Restart { host, off, moves: false }));
        }
        if rng.random_ratio(1, 3) {
            let by = *[50, 3_000, 8_000, 60_000, 3_600_000].choose(rng).unwrap_or(&50);
            let at = Duration::from_millis(rng.random_range(1_000..end));
            faults.push((at, Fault::Jump { host, by_ms: rng.random_range(-by..=by) }));
        }
    }
    faults
}

/// Now and then a clock is wrong from the beginning: the founder's, too.
fn clocks(hosts: u16, rng: &mut StdRng) -> Vec<(Duration, Fault)> {
    if !rng.random_ratio(1, 8) {
        return Vec::new();
    }
    let mut jump = |host| {
        let by = *[50, 3_000, 60_000, 3_600_000, 3 * 365 * 86_400_000].choose(rng).unwrap_or(&50);
        let by_ms = rng.random_range(-by..=by);
        rng.random::<bool>().then_some((Duration::ZERO, Fault::Jump { host: HostId(host), by_ms }))
    };
    (1..=hosts).filter_map(&mut jump).collect()
}

/// Clients that ask a node again and again for a while, whatever it answers.
fn asking_on(host: HostId, from: Duration, end: Duration, rng: &mut StdRng) -> Vec<(Duration, Op)> {
    let one = |number: u64| {
        let kind = if number.is_multiple_of(5) { OpKind::Put(2_000 + number) } else { OpKind::Get };
        let op = Op { host, key: rng.random_range(0..8), kind, token: None };
        (from + Duration::from_millis(4 * number), op)
    };
    (0..200).map(one).take_while(|(at, _)| *at < end).collect()
}

fn ms(rng: &mut impl Rng, from: u64, to: u64) -> Duration {
    // Short ones often, long ones too.
    let top = *[from + (to - from) / 20, from + (to - from) / 4, to].choose(rng).unwrap_or(&to);
    Duration::from_millis(rng.random_range(from..=top.max(from)))
}

fn fault(hosts: u16, options: PlanOptions, disks_to_lose: &mut usize, rng: &mut StdRng) -> Fault {
    let host = HostId(rng.random_range(1..=hosts));
    let other = HostId(rng.random_range(1..=hosts));
    let kept = match rng.random_range(0..3) {
        0 => Kept::Nothing,
        1 => Kept::Prefix(rng.random_range(0..=1_000)),
        _ => Kept::Torn(rng.random()),
    };
    match rng.random_range(0..114) {
        0..22 => {
            let (power, moves) = (rng.random(), rng.random_ratio(1, 8));
            Fault::Crash { host, kept, power, off: ms(rng, 10, 20_000), moves }
        }
        22..30 => Fault::Restart { host, off: ms(rng, 10, 12_000), moves: rng.random_ratio(1, 6) },
        30..34 if *disks_to_lose > 0 => {
            *disks_to_lose -= 1;
            if rng.random() {
                Fault::Wipe { host, off: ms(rng, 100, 15_000) }
            } else {
                Fault::LoseEngine { host, off: ms(rng, 100, 15_000) }
            }
        }
        34..38 if options.forgets_deletes => Fault::Restore { host, off: ms(rng, 100, 10_000) },
        38..44 => Fault::Pause { host, time: ms(rng, 100, 12_000) },
        44..54 => {
            let group = (1..=hosts).map(HostId).filter(|_| rng.random()).collect();
            Fault::Cut { group, one_way: rng.random_ratio(1, 3), time: ms(rng, 100, 20_000) }
        }
        54..62 => Fault::CutPair { one: host, other, time: ms(rng, 100, 30_000) },
        62..68 => {
            Fault::Slow { one: host, other, times: rng.random_range(5..400), time: ms(rng, 1_000, 15_000) }
        }
        68..73 => {
            let (lost, doubled) = (rng.random_range(50..600), rng.random_range(0..200));
            Fault::Lossy { lost, doubled, time: ms(rng, 500, 15_000) }
        }
        73..80 => Fault::Break { one: host, other },
        80..84 => Fault::FlushFails { host, off: ms(rng, 100, 8_000) },
        84..88 => Fault::DiskFull { host, time: ms(rng, 100, 8_000) },
        88..91 => Fault::SlowDisk { host, times: rng.random_range(10..1_000), time: ms(rng, 500, 10_000) },
        91..97 => {
            let by = *[50, 3_000, 8_000, 3_600_000, 3 * 365 * 86_400_000].choose(rng).unwrap_or(&50);
            let by_ms = rng.random_range(-by..=by);
            Fault::Jump { host, by_ms }
        }
        97..104 => {
            let (record, bit, found) = (rng.random_range(0..1_000), rng.random(), ms(rng, 1, 20_000));
            Fault::Rot { host, record, bit, found }
        }
        104..106 => {
            let newest = WIRE_VERSION + u8::from(rng.random_ratio(2, 3));
            let oldest = if rng.random() { newest } else { WIRE_VERSION };
            Fault::Upgrade { host, off: ms(rng, 100, 5_000), oldest, newest }
        }
        106..110 => Fault::Drift { host, ppm: rng.random_range(-50_000..50_000) },
        _ => Fault::Die { host, after: rng.random_range(0..300), kept, off: ms(rng, 10, 8_000) },
    }
}
