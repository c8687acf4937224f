//! Messages as they go over the wire: the question that is asked, and what an answer to it says. The format itself is the
//! crate `domain`'s.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;

use domain::base::iana::{Class, Opcode, OptRcode, Rcode, Rtype};
use domain::base::name::{Name as DomainName, ParsedName};
use domain::base::wire::ParseError;
use domain::base::{Message, MessageBuilder};
use domain::dep::octseq::array::Array;
use domain::rdata::{A, Aaaa, Cname, Soa};

use super::name::{Name, Wire};
use super::random::Random;

/// The largest answer over UDP that is asked for: it fits every link's MTU (DNS flag day 2020).
pub(super) const UDP_PAYLOAD: u16 = 1232;
/// How long a chain of aliases may be.
const ALIASES_MAX: usize = 16;
/// More addresses than these are not kept.
const ADDRESSES_MAX: usize = 256;

/// Which addresses are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    fn rtype(self) -> Rtype {
        match self {
            Family::V4 => Rtype::A,
            Family::V6 => Rtype::AAAA,
        }
    }
}

/// One question, as it was sent: what an answer must repeat.
pub(super) struct Query {
    bytes: Array<320>,
    id: u16,
    name: Wire,
    family: Family,
}

/// What a packet is to a [`Query`].
#[derive(Debug)]
pub(super) enum Verdict {
    /// Nothing of ours.
    Foreign(Mismatch),
    /// The question in other letters: a forger's guess, or a server that folds case. Only TCP tells which.
    Suspicious,
    Answer(Reply),
}

/// In what a packet differs from an answer to a [`Query`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mismatch {
    /// It is no answer at all.
    Form,
    Id,
    Question,
}

/// What a server has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Addresses {
        addresses: Vec<IpAddr>,
        ttl: u32,
    },
    /// There is no such name, and for how long that may be remembered.
    NoName {
        ttl: Option<u32>,
    },
    /// The name has no such address.
    NoData {
        ttl: Option<u32>,
    },
    /// It did not fit: to be asked over TCP.
    Truncated,
    Refusal(Refusal),
}

/// Why an answer is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Code(u16),
    /// It refers to other servers instead of asking them, or knows nothing.
    Lame,
    Malformed,
    /// The aliases go round in a circle, or on for ever.
    Aliases,
}

impl Refusal {
    /// Whether the server may have stumbled over EDNS (RFC 6891, section 7).
    pub(super) fn may_be_of_edns(self) -> bool {
        let codes =
            [Rcode::FORMERR.to_int().into(), Rcode::NOTIMP.to_int().into(), OptRcode::BADVERS.to_int()];
        matches!(self, Refusal::Code(code) if codes.contains(&code))
    }
}

impl Query {
    /// Asks for addresses of `name`, with a random id and random capitals (draft-vixie-dnsext-dns0x20).
    pub(super) fn new(
        name: &Name,
        family: Family,
        edns: bool,
        random: &mut Random,
    ) -> io::Result<Query> {
        let (id, name) = (random.number()?, name.to_wire(&random.bits()?));
        let bytes = build(id, &name, family, edns).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Query { bytes, id, name, family })
    }

    /// With this id and these capitals.
    #[cfg(feature = "rig")]
    pub(super) fn fixed(name: &Name, family: Family, id: u16, capitals: &[u8; 32]) -> Option<Query> {
        let name = name.to_wire(capitals);
        Some(Query { bytes: build(id, &name, family, true)?, id, name, family })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.as_ref()
    }

    /// What `packet`, which came from the server that was asked, is to this query. Over TCP nobody else can have sent
    /// it, so the case of letters does not matter there.
    pub(super) fn judge(&self, packet: &[u8], over_tcp: bool) -> Verdict {
        let foreign = Verdict::Foreign;
        let Ok(message) = Message::from_octets(packet) else { return foreign(Mismatch::Form) };
        let header = message.header();
        if !header.qr() || header.opcode() != Opcode::QUERY {
            return foreign(Mismatch::Form);
        }
        if header.id() != self.id {
            return foreign(Mismatch::Id);
        }
        if message.header_counts().qdcount() == 0 && header.rcode() == Rcode::FORMERR {
            // Of one who could not read the question.
            return Verdict::Answer(Reply::Refusal(Refusal::Code(Rcode::FORMERR.to_int().into())));
        }
        let Ok(question) = message.sole_question() else { return foreign(Mismatch::Form) };
        if question.qtype() != self.family.rtype() || question.qclass() != Class::IN {
            return foreign(Mismatch::Question);
        }
        let asked = wire(question.qname());
        if asked.as_slice() == self.name {
            Verdict::Answer(self.read(&message))
        } else if !asked.as_slice().eq_ignore_ascii_case(&self.name) {
            foreign(Mismatch::Question)
        } else if over_tcp {
            Verdict::Answer(self.read(&message))
        } else {
            Verdict::Suspicious
        }
    }

    fn read(&self, message: &Message<&[u8]>) -> Reply {
        let code = message.opt_rcode().to_int();
        if message.header().tc() {
            return Reply::Truncated;
        }
        if code != u16::from(Rcode::NOERROR.to_int()) && code != u16::from(Rcode::NXDOMAIN.to_int()) {
            return Reply::Refusal(Refusal::Code(code));
        }
        let Ok(records) = Records::read(message, self.family) else {
            return Reply::Refusal(Refusal::Malformed);
        };
        let chain = Chain::follow(records, &self.name);
        if chain.aliases > ALIASES_MAX {
            return Reply::Refusal(Refusal::Aliases);
        }
        let mut denial = Denial::of(message, &chain);
        // Of the name that was asked for it is known through its aliases.
        denial.ttl = denial.ttl.map(|ttl| ttl.min(chain.ttl));
        if code == u16::from(Rcode::NXDOMAIN.to_int()) {
            return Reply::NoName { ttl: denial.ttl };
        }
        match chain.addresses {
            addresses if !addresses.is_empty() => Reply::Addresses { addresses, ttl: chain.ttl },
            _ if denial.is_lame(message, chain.aliases) => Reply::Refusal(Refusal::Lame),
            _ => Reply::NoData { ttl: denial.ttl },
        }
    }
}

fn build(id: u16, name: &[u8], family: Family, edns: bool) -> Option<Array<320>> {
    let mut builder = MessageBuilder::from_target(Array::<320>::new()).ok()?;
    builder.header_mut().set_id(id);
    builder.header_mut().set_rd(true);
    let mut questions = builder.question();
    questions.push((DomainName::from_octets(name).ok()?, family.rtype())).ok()?;
    let mut additional = questions.additional();
    if edns {
        additional
            .opt(|opt| {
                opt.set_udp_payload_size(UDP_PAYLOAD);
                Ok(())
            })
            .ok()?;
    }
    Some(additional.finish())
}

fn wire<Octets: AsRef<[u8]>>(name: &ParsedName<Octets>) -> Wire {
    name.iter()
        .flat_map(|label| std::iter::once(label.len() as u8).chain(label.as_slice().iter().copied()))
        .collect()
}

/// In the one form in which names are compared. The lengths of labels are smaller than any letter.
fn folded<Octets: AsRef<[u8]>>(name: &ParsedName<Octets>) -> Wire {
    wire(name).to_ascii_lowercase()
}

fn is_within(name: &[u8], zone: &[u8]) -> bool {
    let mut rest = name;
    while rest.len() > zone.len() {
        let label = rest.first().copied().unwrap_or(0);
        rest = rest.get(usize::from(label) + 1..).unwrap_or(&[]);
    }
    rest == zone
}

/// The answer section by name, read once: whatever it holds, that takes time and room by its length alone.
#[derive(Default)]
struct Records(HashMap<Wire, OfName>);

/// What is said of one name. Of several aliases the first counts.
#[derive(Default)]
struct OfName {
    alias: Option<(Wire, u32)>,
    addresses: Vec<IpAddr>,
    ttl: Option<u32>,
}

impl Records {
    fn read(message: &Message<&[u8]>, family: Family) -> Result<Records, ParseError> {
        let mut records = Records::default();
        for record in message.answer()? {
            let record = record?;
            if record.class() != Class::IN {
                continue;
            }
            let ttl = bounded_ttl(record.ttl().as_secs());
            let address = match (record.rtype(), family) {
                (Rtype::A, Family::V4) => record.to_record::<A>()?.map(|data| data.data().addr().into()),
                (Rtype::AAAA, Family::V6) => {
                    record.to_record::<Aaaa>()?.map(|data| data.data().addr().into())
                }
                (Rtype::CNAME, _) => {
                    let alias = record.to_record::<Cname<ParsedName<&[u8]>>>()?;
                    let of_name = records.0.entry(folded(&record.owner())).or_default();
                    let alias = alias.map(|alias| (folded(alias.data().cname()), ttl));
                    of_name.alias = of_name.alias.take().or(alias);
                    None
                }
                _ => None,
            };
            if let Some(address) = address {
                records.0.entry(folded(&record.owner())).or_default().take(address, ttl);
            }
        }
        Ok(records)
    }
}

impl OfName {
    fn take(&mut self, address: IpAddr, ttl: u32) {
        self.ttl = Some(self.ttl.map_or(ttl, |least| least.min(ttl)));
        if self.addresses.len() < ADDRESSES_MAX && !self.addresses.contains(&address) {
            self.addresses.push(address);
        }
    }
}

/// The aliases from the name that was asked for to its addresses. Records of other names in the answer are of no
/// use: nobody asked for them.
struct Chain {
    /// Where it ends.
    last: Wire,
    aliases: usize,
    addresses: Vec<IpAddr>,
    /// Of the record that is to be forgotten first.
    ttl: u32,
}

impl Chain {
    fn follow(mut records: Records, asked: &[u8]) -> Chain {
        let last = asked.to_ascii_lowercase();
        let mut chain = Chain { last, aliases: 0, addresses: Vec::new(), ttl: u32::MAX };
        while chain.aliases <= ALIASES_MAX {
            let Some(of_name) = records.0.get_mut(&chain.last) else { break };
            if !of_name.addresses.is_empty() {
                chain.ttl = chain.ttl.min(of_name.ttl.unwrap_or(0));
                chain.addresses = std::mem::take(&mut of_name.addresses);
                break;
            }
            let Some((alias, ttl)) = &of_name.alias else { break };
            chain.ttl = chain.ttl.min(*ttl);
            chain.last.clone_from(alias);
            chain.aliases += 1;
        }
        chain
    }
}

/// What the authority section says of a name that is not there (RFC 2308, section 2).
struct Denial {
    /// From the SOA of a zone that the name lies in.
    ttl: Option<u32>,
    refers: bool,
}

impl Denial {
    fn of(message: &Message<&[u8]>, chain: &Chain) -> Denial {
        let mut denial = Denial { ttl: None, refers: false };
        let Ok(authority) = message.authority() else { return denial };
        for record in authority.map_while(Result::ok) {
            match record.rtype() {
                Rtype::NS => denial.refers = true,
                Rtype::SOA
                    if denial.ttl.is_none() && is_within(&chain.last, &folded(&record.owner())) =>
                {
                    let ttl = bounded_ttl(record.ttl().as_secs());
                    if let Ok(Some(soa)) = record.to_record::<Soa<_>>() {
                        denial.ttl = Some(ttl.min(bounded_ttl(soa.data().minimum().as_secs())));
                    }
                }
                _ => {}
            }
        }
        denial
    }

    /// Without an answer and without a word on why, from one who neither owns the zone nor asks others.
    fn is_lame(&self, message: &Message<&[u8]>, aliases: usize) -> bool {
        let header = message.header();
        self.ttl.is_none() && aliases == 0 && !header.aa() && (self.refers || !header.ra())
    }
}

/// The top bit is no time (RFC 2181, section 8).
fn bounded_ttl(seconds: u32) -> u32 {
    if seconds > i32::MAX as u32 { 0 } else { seconds }
}

#[cfg(test)]
mod tests;
