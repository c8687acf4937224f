//! Networks of a test's own.

use std::process::Command;

use super::{child, skip};

/// The way into a fresh network namespace here, or why there is none.
pub(crate) fn namespace() -> Result<&'static [&'static str], String> {
    const WAYS: [&[&str]; 2] = [&["unshare", "-n"], &["unshare", "-Urn"]];
    let works = |way: &&&[&str]| {
        let script = "ip link set lo up && nft add table inet probe";
        let output = Command::new(way[0]).args(&way[1..]).args(["sh", "-c", script]).output();
        output.is_ok_and(|output| output.status.success())
    };
    WAYS.iter().find(works).copied().ok_or_else(|| {
        "no network namespace with ip and nft here; root (or unprivileged user namespaces) with iproute2 and \
         nftables installed would run it"
            .to_owned()
    })
}

/// Runs a script, of which every line must succeed.
pub(crate) fn sh(script: &str) {
    let status = Command::new("sh").args(["-ec", script]).status().expect("a shell");
    assert!(status.success(), "{script}: {status}");
}

/// Runs the test with this path again inside a namespace; `false` in the parent.
pub(crate) fn inside_namespace(test: &str) -> bool {
    if child::plays("namespace") {
        sh("ip link set lo up");
        return true;
    }
    match namespace() {
        Ok(way) => child::succeed(child::wrapped(way, test, "namespace")),
        Err(why) => skip(&why),
    }
    false
}

/// A link whose other end answers for no host: what is sent to 10.77.0.2 and fd77::2 is lost.
pub(crate) const SILENT_LINK: &str = "
    ip link add v0 type veth peer name v1
    ip addr add 10.77.0.1/24 dev v0
    ip -6 addr add fd77::1/64 dev v0 nodad
    ip link set v0 up; ip link set v1 up
    ip neigh add 10.77.0.2 lladdr 02:00:00:00:00:66 dev v0 nud permanent
    ip neigh add fd77::2 lladdr 02:00:00:00:00:66 dev v0 nud permanent
    nft add table inet t
    nft add chain inet t out '{ type filter hook output priority 0; }'
    nft add rule inet t out tcp dport 81 drop";
