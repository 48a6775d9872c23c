//! Which nodes `dev` runs: their addresses, folders and command lines.

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::super::error::CliError;

/// From one node's ports to the next one's.
const PORT_STEP: u16 = 10;

/// One node as it will be started.
#[derive(Debug, Clone)]
pub(crate) struct NodePlan {
    pub(crate) name: String,
    pub(crate) http: SocketAddr,
    pub(crate) gossip: SocketAddr,
    pub(crate) data_dir: PathBuf,
    /// Where its log lines go.
    pub(crate) log: PathBuf,
    /// The arguments behind the program's name.
    pub(crate) arguments: Vec<OsString>,
}

impl NodePlan {
    /// The command that starts the node again, ready for a shell in any folder.
    pub(crate) fn command(&self, program: &Path) -> String {
        let words =
            std::iter::once(program.as_os_str()).chain(self.arguments.iter().map(OsString::as_os_str));
        words.map(quoted).collect::<Vec<_>>().join(" ")
    }
}

/// Plans `count` nodes from port `base` on. Every node has all others as seeds, so that each one's command
/// works unchanged whichever of the others run; the first founds the cluster where none answers.
pub(crate) fn nodes(
    count: u16,
    base: u16,
    dir: &Path,
    extra: &[OsString],
) -> Result<Vec<NodePlan>, CliError> {
    let too_high = || {
        CliError::Refused(format!(
            "{count} nodes from port {base} on need ports past 65535: choose a lower --http-base"
        ))
    };
    let ports: Vec<(u16, u16)> = (0..count)
        .map(|index| {
            let http = index.checked_mul(PORT_STEP).and_then(|step| base.checked_add(step))?;
            Some((http, http.checked_add(1)?))
        })
        .collect::<Option<_>>()
        .ok_or_else(too_high)?;
    let gossips: Vec<SocketAddr> = ports.iter().map(|(_, port)| loopback(*port)).collect();
    let plan = |(index, (http, gossip)): (usize, &(u16, u16))| {
        let name = format!("n{}", index + 1);
        let gossip = loopback(*gossip);
        let seeds =
            gossips.iter().filter(|seed| **seed != gossip).map(SocketAddr::to_string).collect::<Vec<_>>();
        let mut node = NodePlan {
            http: loopback(*http),
            gossip,
            data_dir: dir.join(&name),
            log: dir.join(format!("{name}.log")),
            name,
            arguments: Vec::new(),
        };
        node.arguments = arguments(&node, &seeds, index == 0, extra);
        node
    };
    Ok(ports.iter().enumerate().map(plan).collect())
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn arguments(node: &NodePlan, seeds: &[String], founds: bool, extra: &[OsString]) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec!["serve".into(), "--name".into(), node.name.clone().into()];
    arguments.extend(["--data-dir".into(), node.data_dir.clone().into_os_string()]);
    arguments.extend(["--http".into(), node.http.to_string().into()]);
    arguments.extend(["--gossip".into(), node.gossip.to_string().into()]);
    if !seeds.is_empty() {
        arguments.extend(["--join".into(), seeds.join(",").into()]);
    }
    if founds {
        arguments.push("--found".into());
    }
    arguments.extend(extra.iter().cloned());
    arguments
}

/// The word as a POSIX shell takes it.
fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:,=@%+".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.into_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_nodes_step_by_ten_and_know_each_other() {
        let nodes = nodes(3, 7710, Path::new("/data/my dev"), &["--rumors".into(), "off".into()]).unwrap();
        let commands: Vec<String> =
            nodes.iter().map(|node| node.command(Path::new("/bin/mangrove"))).collect();
        insta::assert_snapshot!(commands.join("\n"), @r"
        /bin/mangrove serve --name n1 --data-dir '/data/my dev/n1' --http 127.0.0.1:7710 --gossip 127.0.0.1:7711 --join 127.0.0.1:7721,127.0.0.1:7731 --found --rumors off
        /bin/mangrove serve --name n2 --data-dir '/data/my dev/n2' --http 127.0.0.1:7720 --gossip 127.0.0.1:7721 --join 127.0.0.1:7711,127.0.0.1:7731 --rumors off
        /bin/mangrove serve --name n3 --data-dir '/data/my dev/n3' --http 127.0.0.1:7730 --gossip 127.0.0.1:7731 --join 127.0.0.1:7711,127.0.0.1:7721 --rumors off
        ");
    }

    #[test]
    fn settings_after_the_dashes_reach_every_node_as_serve_reads_them() {
        use clap::Parser;

        #[derive(Parser)]
        struct Serve {
            #[command(flatten)]
            flags: crate::settings::Flags,
            #[arg(long, default_value_t = false)]
            stop_with_stdin: bool,
        }
        let extra = ["--allow-drills", "--transport-delay", "25ms", "--repair-governor", "off"];
        let extra = extra.map(OsString::from);
        for node in nodes(3, 7710, Path::new("d"), &extra).unwrap() {
            let said =
                Serve::try_parse_from(node.arguments.iter().chain([&"--stop-with-stdin".into()])).unwrap();
            assert!(said.stop_with_stdin);
            let (settings, _) = crate::settings::load(&said.flags, [], None).unwrap();
            assert!(settings.allow_drills && !settings.repair_governor, "{}", node.name);
            assert_eq!(settings.transport_delay.as_millis(), 25);
        }
    }

    #[test]
    fn ports_past_the_last_are_refused() {
        assert!(nodes(2, 65_530, Path::new("d"), &[]).is_err());
        assert!(nodes(1, 65_534, Path::new("d"), &[]).is_ok());
        assert!(nodes(1, 65_535, Path::new("d"), &[]).is_err());
    }

    #[test]
    fn words_are_quoted_where_a_shell_would_split_them() {
        assert_eq!(quoted(OsStr::new("a-b/c.d")), "a-b/c.d");
        assert_eq!(quoted(OsStr::new("it's")), r"'it'\''s'");
        assert_eq!(quoted(OsStr::new("")), "''");
    }
}
