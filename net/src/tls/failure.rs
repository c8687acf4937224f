//! What goes wrong in TLS, as sentences that a person can act on.

use std::fmt;
use std::io;

use rustls::pki_types::{ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError, Connection, PeerIncompatible};

use crate::error::{Error, Kind, Phase};

/// An error of rustls', in words.
#[derive(Debug)]
struct Failure(rustls::Error);

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

pub(super) fn error(phase: Phase, error: rustls::Error) -> Error {
    Error::new(Kind::Tls, phase).because(io::Error::new(io::ErrorKind::InvalidData, Failure(error)))
}

/// rustls hands out its errors inside those of I/O, too.
pub(super) fn of_io(phase: Phase, outer: io::Error) -> io::Error {
    match outer.downcast::<rustls::Error>() {
        Ok(inner) => error(phase, inner).into(),
        Err(outer) => outer,
    }
}

/// What was set up here, and makes no sense.
pub(super) fn configuration(why: impl Into<String>) -> Error {
    Error::new(Kind::Tls, Phase::Configure).because(io::Error::other(why.into())).with_target("TLS")
}

/// The stream ended where the peer had not said so.
pub(super) fn truncated() -> io::Error {
    ended_early(
        Phase::Read,
        "the connection ended without the peer's close_notify, so what came may be truncated, by the peer's fault or by \
         somebody on the way",
    )
}

/// The stream ended in the middle of a handshake.
pub(super) fn handshake_cut(connection: &Connection) -> io::Error {
    let heard = connection.protocol_version().is_some();
    ended_early(
        Phase::Tls,
        match heard {
            true => "the peer closed the connection in the middle of the handshake, without saying why",
            false => {
                "the peer closed the connection before it said anything: it may not speak TLS on this port"
            }
        },
    )
}

fn ended_early(phase: Phase, why: &'static str) -> io::Error {
    let source = io::Error::new(io::ErrorKind::UnexpectedEof, why);
    Error::new(Kind::UnexpectedEof, phase).because(source).into()
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use rustls::Error::*;
        match &self.0 {
            InvalidCertificate(why) => {
                f.write_str("the peer's certificate ")?;
                certificate(f, why)
            }
            AlertReceived(alert) => alerted(f, *alert),
            NoCertificatesPresented => f.write_str("the peer has shown no certificate"),
            NoApplicationProtocol => {
                f.write_str("the peer and we have no application protocol (ALPN) in common")
            }
            PeerIncompatible(why) => incompatible(f, why),
            PeerMisbehaved(why) => write!(f, "the peer broke the protocol: {why:?}"),
            InvalidMessage(why) => {
                write!(f, "what the peer sent is not TLS, or was damaged: {why:?}")
            }
            InappropriateMessage { .. } | InappropriateHandshakeMessage { .. } => {
                write!(f, "the peer broke the protocol: {}", self.0)
            }
            PeerSentOversizedRecord => f.write_str("the peer sent a record that is too large"),
            DecryptError => f.write_str(
                "a record of the peer's cannot be decrypted: it was damaged or forged on the way",
            ),
            General(why) => f.write_str(why),
            other => write!(f, "{other}"),
        }
    }
}

fn certificate(f: &mut fmt::Formatter<'_>, why: &CertificateError) -> fmt::Result {
    match why {
        CertificateError::Expired => f.write_str("has expired"),
        CertificateError::ExpiredContext { time, not_after } => {
            write!(f, "has expired: it was valid until {}, now it is {}", Utc(*not_after), Utc(*time))
        }
        CertificateError::NotValidYet => f.write_str("is not valid yet"),
        CertificateError::NotValidYetContext { time, not_before } => {
            write!(f, "is not valid yet: it begins {}, now it is {}", Utc(*not_before), Utc(*time))
        }
        CertificateError::Revoked => f.write_str("was revoked"),
        CertificateError::UnknownIssuer => f.write_str(
            "is not of an authority that we trust: it is self-signed, or its issuer is not among our roots, or an \
             intermediate certificate is missing from what the peer sends",
        ),
        CertificateError::NotValidForName => f.write_str("is for another name"),
        CertificateError::NotValidForNameContext { expected, presented } => {
            write!(f, "is not for {}", Name(expected))?;
            match presented.as_slice() {
                [] => f.write_str(": it names nobody"),
                names => write!(f, ": it is for {}", names.join(", ")),
            }
        }
        CertificateError::InvalidPurpose => f.write_str("is not for this purpose (extended key usage)"),
        CertificateError::InvalidPurposeContext { required, .. } => {
            write!(f, "is not for this purpose: its extended key usage lacks {required}")
        }
        CertificateError::BadSignature => {
            f.write_str("has a wrong signature: it was damaged, or the peer does not have its key")
        }
        CertificateError::BadEncoding => f.write_str("cannot be parsed"),
        other => write!(f, "does not hold: {other}"),
    }
}

/// The peer has ended it: what it means to whoever reads it here.
fn alerted(f: &mut fmt::Formatter<'_>, alert: AlertDescription) -> fmt::Result {
    let meaning = match alert {
        AlertDescription::BadCertificate => "our certificate does not hold",
        AlertDescription::UnsupportedCertificate => "our certificate is of a kind that it does not take",
        AlertDescription::CertificateRevoked => "our certificate was revoked",
        AlertDescription::CertificateExpired => "our certificate has expired",
        AlertDescription::CertificateUnknown => "our certificate is not acceptable",
        AlertDescription::UnknownCA => "it does not trust the issuer of our certificate",
        AlertDescription::CertificateRequired => "it wants a certificate of ours, and was shown none",
        AlertDescription::AccessDenied => "it does not let us in",
        AlertDescription::HandshakeFailure => "it has no parameters in common with us",
        AlertDescription::ProtocolVersion => "it does not speak our versions of TLS",
        AlertDescription::InsufficientSecurity => "what we offer is too weak for it",
        AlertDescription::NoApplicationProtocol => {
            "it speaks none of the application protocols that we offer (ALPN)"
        }
        AlertDescription::UnrecognisedName => "it does not know the name that we asked for (SNI)",
        AlertDescription::UserCanceled => "somebody there called it off",
        AlertDescription::InternalError => "something went wrong on its side",
        AlertDescription::BadRecordMac | AlertDescription::DecryptError => {
            "what we sent cannot be decrypted or verified there: it was damaged on the way"
        }
        AlertDescription::DecodeError
        | AlertDescription::IllegalParameter
        | AlertDescription::UnexpectedMessage => "it does not understand what we sent",
        _ => return write!(f, "the peer ended it with the alert {alert:?}"),
    };
    write!(f, "the peer ended it with the alert {alert:?}: {meaning}")
}

fn incompatible(f: &mut fmt::Formatter<'_>, why: &PeerIncompatible) -> fmt::Result {
    f.write_str(match why {
        PeerIncompatible::NoCipherSuitesInCommon => "the peer and we have no cipher suite in common",
        PeerIncompatible::NoKxGroupsInCommon => "the peer and we have no key exchange group in common",
        PeerIncompatible::NoSignatureSchemesInCommon => {
            "the peer takes no signature that the key of our certificate can make"
        }
        PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon => {
            "the peer takes no signature that the key of our client certificate can make"
        }
        PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
        | PeerIncompatible::SupportedVersionsExtensionRequired
        | PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled => {
            "the peer speaks no version of TLS that is allowed here (1.2 and 1.3 at most)"
        }
        other => return write!(f, "the peer lacks what we need: {other:?}"),
    })
}

struct Name<'a>(&'a ServerName<'static>);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.to_str())
    }
}

/// A moment to the second, as `2026-11-23 05:44:51 UTC`.
struct Utc(UnixTime);

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (days, seconds) = (seconds / 86_400, seconds % 86_400);
        let (year, month, day) = civil(days);
        let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
        write!(f, "{year}-{month:02}-{day:02} {hours:02}:{minutes:02}:{:02} UTC", seconds % 60)
    }
}

/// The date of a day since 1970-01-01, in the Gregorian calendar. Years begin in March here, so that the leap day is
/// their last; 400 of them always have the same 146 097 days.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn moments_are_dates() {
        let says = |seconds, text: &str| {
            let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
            assert_eq!(Utc(time).to_string(), text);
        };
        says(0, "1970-01-01 00:00:00 UTC");
        says(951_782_399, "2000-02-28 23:59:59 UTC");
        says(951_782_400, "2000-02-29 00:00:00 UTC");
        says(951_868_800, "2000-03-01 00:00:00 UTC");
        says(1_735_689_599, "2024-12-31 23:59:59 UTC");
        says(4_107_542_400, "2100-03-01 00:00:00 UTC");
    }

    #[test]
    fn it_says_whose_fault_it_is() {
        let says = |error: rustls::Error, text: &str| {
            let ours = super::error(Phase::Tls, error).with_target("example.org:443");
            assert_eq!(ours.to_string(), format!("TLS handshake with example.org:443 failed: {text}"));
            assert_eq!((ours.kind(), ours.is_retry_safe()), (Kind::Tls, false));
        };
        says(
            CertificateError::NotValidForNameContext {
                expected: ServerName::try_from("a.example").expect("a name"),
                presented: vec!["b.example".into(), "c.example".into()],
            }
            .into(),
            "the peer's certificate is not for \"a.example\": it is for b.example, c.example",
        );
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        says(
            CertificateError::ExpiredContext { time: at(86_400), not_after: at(1) }.into(),
            "the peer's certificate has expired: it was valid until 1970-01-01 00:00:01 UTC, now it is 1970-01-02 \
             00:00:00 UTC",
        );
        says(
            rustls::Error::AlertReceived(AlertDescription::UnknownCA),
            "the peer ended it with the alert UnknownCA: it does not trust the issuer of our certificate",
        );
    }
}
