//! What `dev` tells the person who started it.

use std::path::Path;
use std::process::ExitStatus;

use super::super::output::{Colour, Screen};
use super::plan::NodePlan;

/// Where everything is, once the nodes are started.
pub(crate) fn started(screen: Screen, program: &Path, folder: &Path, nodes: &[(&NodePlan, u32)]) -> String {
    let count =
        if nodes.len() == 1 { "1 node, its".to_owned() } else { format!("{} nodes, their", nodes.len()) };
    let mut text = format!("{count} data and logs in {}\n", folder.display());
    for (plan, pid) in nodes {
        text.push_str(&format!(
            "\n{}  http://{}  gossip {}  pid {pid}\n    start it again after a kill:\n    {}\n",
            screen.paint(Colour::Bold, &plan.name),
            plan.http,
            plan.gossip,
            screen.paint(Colour::Dim, &plan.command(program)),
        ));
    }
    text.push('\n');
    text
}

/// How to try it, once all nodes are ready.
pub(crate) fn ready(screen: Screen, program: &Path, nodes: &[(&NodePlan, u32)]) -> String {
    let alone = nodes.len() == 1;
    let title =
        if alone { "The node is ready.".to_owned() } else { format!("All {} nodes are ready.", nodes.len()) };
    let mut text = format!("\n{}", screen.paint(Colour::Green, &title));
    let (Some((first, _)), Some((last, pid))) = (nodes.first(), nodes.last()) else { return text };
    let program = program.display();
    let (how, take_away) = if alone {
        ("Write and read:", String::new())
    } else {
        let name = &last.name;
        let text = format!(
            "Take {name} away and watch it catch up: kill -9 {pid}, write, start it again with its command above.\n"
        );
        ("Write to one, read from another:", text)
    };
    text.push_str(&format!(
        " {how}\n\n  \
         curl -T /etc/hosts http://{first}/v1/kv/etc/hosts\n  \
         curl http://{last}/v1/kv/etc/hosts\n  \
         {program} status --endpoint http://{first}\n\n\
         {take_away}\
         Ctrl-C stops all nodes; their data stays.\n\n",
        first = first.http,
        last = last.http,
    ));
    text
}

/// One node ended by itself or was killed.
pub(crate) fn ended(program: &Path, plan: &NodePlan, status: &std::io::Result<ExitStatus>) -> String {
    format!("{} has {}; start it again with:\n    {}\n", plan.name, how(status), plan.command(program))
}

/// How a process ended.
pub(crate) fn how(status: &std::io::Result<ExitStatus>) -> String {
    use std::os::unix::process::ExitStatusExt;
    let Ok(status) = status else { return "ended".to_owned() };
    match (status.signal(), status.code()) {
        (Some(9), _) => "been killed (signal 9)".to_owned(),
        (Some(signal), _) => format!("ended by signal {signal}"),
        (None, Some(code)) => format!("ended with exit code {code}"),
        (None, None) => "ended".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan;
    use super::*;

    #[test]
    fn the_first_look() {
        let nodes = plan::nodes(2, 7710, Path::new("/d"), &[]).unwrap();
        let nodes: Vec<(&NodePlan, u32)> = nodes.iter().zip([71, 72]).collect();
        let program = Path::new("/bin/mangrove");
        let text = started(Screen::PLAIN, program, Path::new("/d"), &nodes);
        insta::assert_snapshot!(text + &ready(Screen::PLAIN, program, &nodes), @r"
        2 nodes, their data and logs in /d

        n1  http://127.0.0.1:7710  gossip 127.0.0.1:7711  pid 71
            start it again after a kill:
            /bin/mangrove serve --name n1 --data-dir /d/n1 --http 127.0.0.1:7710 --gossip 127.0.0.1:7711 --join 127.0.0.1:7721 --found

        n2  http://127.0.0.1:7720  gossip 127.0.0.1:7721  pid 72
            start it again after a kill:
            /bin/mangrove serve --name n2 --data-dir /d/n2 --http 127.0.0.1:7720 --gossip 127.0.0.1:7721 --join 127.0.0.1:7711


        All 2 nodes are ready. Write to one, read from another:

          curl -T /etc/hosts http://127.0.0.1:7710/v1/kv/etc/hosts
          curl http://127.0.0.1:7720/v1/kv/etc/hosts
          /bin/mangrove status --endpoint http://127.0.0.1:7710

        Take n2 away and watch it catch up: kill -9 72, write, start it again with its command above.
        Ctrl-C stops all nodes; their data stays.
        ");
    }
}
