//! `/etc/nsswitch.conf`: who is asked for names, in which order (nsswitch.conf(5)).

use super::watched::Parsed;
use crate::resolve::name::Name;

/// What the line `hosts:` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::resolve) struct Nsswitch(Vec<Service>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Service {
    kind: Kind,
    /// `[NOTFOUND=return]` follows.
    is_last_word: bool,
    /// Other conditions follow, which only glibc can weigh.
    has_conditions: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Files,
    Dns,
    /// This host's own names, in the words of systemd.
    MyHostName,
    /// Multicast DNS: names that end in `.local`.
    Multicast,
    /// Anything else.
    Foreign,
}

/// One step of a lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::resolve) enum Step {
    Files,
    Dns,
    /// `getaddrinfo` has to do all of it.
    System,
}

impl Parsed for Nsswitch {
    const SIZE_MAX: u64 = 64 * 1024;

    /// Where there is none, the files come first here as well (glibc 2.34; before that, DNS did).
    fn missing() -> Nsswitch {
        Nsswitch::parse("hosts: files dns")
    }

    fn is_suspect(&self) -> bool {
        self.0.is_empty()
    }

    fn parse(text: &str) -> Nsswitch {
        let mut services: Vec<Service> = Vec::new();
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or("").trim();
            let Some(list) = line.strip_prefix("hosts:") else { continue };
            services.clear();
            // Conditions may stand close to what they are about, and hold spaces.
            let list = list.replace('[', " [").replace(']', "] ");
            let mut condition = None::<String>;
            for word in list.split_whitespace() {
                if word.starts_with('[') {
                    condition = Some(String::new());
                }
                let Some(words) = &mut condition else {
                    services.push(Service::named(word));
                    continue;
                };
                words.push_str(word);
                if word.ends_with(']') {
                    if let Some(service) = services.last_mut() {
                        service.add_condition(words);
                    }
                    condition = None;
                }
            }
        }
        Nsswitch(services)
    }
}

impl Service {
    fn named(word: &str) -> Service {
        let kind = match word {
            "files" => Kind::Files,
            "dns" => Kind::Dns,
            "myhostname" => Kind::MyHostName,
            mdns if mdns.starts_with("mdns") => Kind::Multicast,
            _ => Kind::Foreign,
        };
        Service { kind, is_last_word: false, has_conditions: false }
    }

    fn add_condition(&mut self, words: &str) {
        match words.to_ascii_uppercase().as_str() {
            "[NOTFOUND=RETURN]" => self.is_last_word = true,
            // What would happen anyway.
            "[SUCCESS=RETURN]"
            | "[NOTFOUND=CONTINUE]"
            | "[UNAVAIL=CONTINUE]"
            | "[TRYAGAIN=CONTINUE]" => {}
            _ => self.has_conditions = true,
        }
    }
}

impl Nsswitch {
    /// The steps of a lookup of `name` on a host that is called `own`.
    pub(in crate::resolve) fn steps(&self, name: &Name, own: Option<&str>) -> Vec<Step> {
        if self.0.is_empty() {
            return vec![Step::Files, Step::Dns];
        }
        let mut steps = Vec::new();
        for service in &self.0 {
            let step = match service.kind {
                Kind::Files => Step::Files,
                Kind::Dns => Step::Dns,
                Kind::MyHostName if !is_own(name, own) => continue,
                Kind::Multicast if !name.is_within("local") => continue,
                _ => Step::System,
            };
            if step == Step::System || service.has_conditions {
                return vec![Step::System];
            }
            steps.push(step);
            if service.is_last_word {
                break;
            }
        }
        steps
    }
}

/// What the module `myhostname` answers for (nss-myhostname(8)).
fn is_own(name: &Name, own: Option<&str>) -> bool {
    let own = own.is_some_and(|own| name.as_str().eq_ignore_ascii_case(own));
    own || matches!(name.as_str(), "_gateway" | "_outbound" | "_localdnsstub" | "_localdnsproxy")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_glibc_knows_is_left_to_it() {
        use Step::{Dns, Files, System};
        let steps = |line: &str, name: &str| {
            let name = Name::parse(name).expect(name);
            Nsswitch::parse(line).steps(&name, Some("Here"))
        };
        let table: [(&str, &str, &[Step]); 15] = [
            ("hosts: files dns", "a.example", &[Files, Dns]),
            ("passwd: files\nhosts:\tdns files # c", "a.example", &[Dns, Files]),
            ("hosts: files", "a.example", &[Files]),
            ("", "a.example", &[Files, Dns]),
            ("passwd: files", "a.example", &[Files, Dns]),
            ("hosts: files ldap dns", "a.example", &[System]),
            ("hosts: mymachines resolve [!UNAVAIL=return] files myhostname dns", "a.example", &[System]),
            ("hosts: files myhostname dns", "a.example", &[Files, Dns]),
            ("hosts: files myhostname dns", "here", &[System]),
            ("hosts: files myhostname dns", "_gateway", &[System]),
            ("hosts: files mdns4_minimal [NOTFOUND=return] dns", "a.example", &[Files, Dns]),
            ("hosts: files mdns4_minimal [NOTFOUND=return] dns", "a.local", &[System]),
            ("hosts: files[NOTFOUND=return] dns", "a.example", &[Files]),
            ("hosts: files [ SUCCESS = continue ] dns", "a.example", &[System]),
            ("hosts: dns [!UNAVAIL=return] files", "a.example", &[System]),
        ];
        for (line, name, expected) in table {
            assert_eq!(steps(line, name), expected, "{line:?} {name}");
        }
    }
}
