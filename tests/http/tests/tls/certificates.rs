//! L03: certificates that do not hold.

use punctual::net::{Kind, Phase, duplex};
use punctual::spawn;
use punctual::tls::{Connector, danger};
use punctual_tests_http::certificates::{Authority, Issued, self_signed};
use punctual_tests_http::rig::on_runtime;
use rcgen::ExtendedKeyUsagePurpose;

use crate::rig::read_all;

/// Shakes hands with a server that shows `shown`: what the client says, and what the server.
async fn refused(connector: Connector, name: &str, shown: &Issued) -> (String, String) {
    let (client, server) = duplex(64 * 1024);
    let accepting = spawn(shown.acceptor().accept(server).run());
    let error = connector.connect(client, name).await.expect_err("it must not be trusted");
    assert_eq!((error.kind(), error.phase()), (Kind::Tls, Phase::Tls), "{error}");
    assert!(!error.is_timeout() && !error.is_retry_safe());
    let told = accepting.await.expect("no panic").expect_err("the client has refused");
    assert_eq!((told.kind(), told.phase()), (Kind::Tls, Phase::Tls), "{told}");
    (error.to_string(), told.to_string())
}

#[test]
fn l03_a_bad_certificate_is_refused_with_its_reason_and_the_server_is_told() {
    on_runtime("bad certificates", async |_| {
        let authority = Authority::new();
        let wrong_use = authority.issue(|params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        });
        let cases = [
            (authority.expired(), "has expired: it was valid until 2001-01-01 00:00:00 UTC, now"),
            (authority.not_yet_valid(), "is not valid yet: it begins 2200-01-01 00:00:00 UTC, now"),
            (authority.named("other.example"), "is not for \"localhost\": it is for"),
            (self_signed(), "is not of an authority that we trust: it is self-signed"),
            (Authority::new().localhost(), "is not of an authority that we trust"),
            (wrong_use, "is not for this purpose: its extended key usage lacks server authentication"),
        ];
        for (shown, says) in cases {
            let (client, server) = refused(authority.connector(), "localhost", &shown).await;
            let expected = format!("TLS handshake with localhost failed: the peer's certificate {says}");
            assert!(client.starts_with(&expected), "{client}");
            assert!(server.contains("the peer ended it with the alert"), "{server}");
            println!("{client}\n    {server}");
        }
    });
}

#[test]
fn l03_no_byte_of_the_application_is_sent_to_a_server_that_is_not_trusted() {
    on_runtime("nothing is sent", async |_| {
        let authority = Authority::new();
        let (client, server) = duplex(64 * 1024);
        let mut peer = crate::raw::Raw::server(server, &self_signed().acceptor());
        let peer = spawn(async move {
            let mut all = Vec::new();
            let mut buffer = [0; 4096];
            loop {
                peer.flush().await.expect("room");
                let read = peer.socket.read(&mut buffer).await.expect("no reset");
                if read == 0 {
                    return all;
                }
                all.extend_from_slice(&buffer[..read]);
                let mut some = &buffer[..read];
                while !some.is_empty() && peer.tls.read_tls(&mut some).is_ok() {
                    let _ = peer.tls.process_new_packets();
                }
            }
        });
        let shaken = authority.connector().connect(client, "localhost").await;
        assert_eq!(shaken.expect_err("not trusted").kind(), Kind::Tls);
        let sent = peer.await.expect("no panic");
        // Records: handshake (22), change of ciphers (20), alert (21 or, encrypted, 23 of an alert's length).
        let mut rest = &sent[..];
        let mut kinds = Vec::new();
        while let [kind, _, _, high, low, tail @ ..] = rest {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            kinds.push((*kind, length));
            rest = &tail[length..];
        }
        let application = kinds.iter().filter(|(kind, _)| *kind == 23).collect::<Vec<_>>();
        // An alert is two bytes, its type and the tag of the cipher 17.
        assert!(application.iter().all(|(_, length)| *length == 19), "{kinds:?}");
        assert_eq!((kinds[0].0, application.len()), (22, 1), "{kinds:?}");
    });
}

#[test]
fn l03_a_client_certificate_is_shown_and_one_that_is_not_trusted_is_refused() {
    on_runtime("client certificates", async |_| {
        let authority = Authority::new();
        let acceptor = authority.acceptor_with_client_certificates(&authority.localhost());
        let attempt = async |identity: Option<Issued>| {
            let (client, server) = duplex(64 * 1024);
            let accepting = spawn(acceptor.accept(server).run());
            let connector = match identity {
                Some(Issued { certificate, key, .. }) => {
                    authority.connector().client_certificate(vec![certificate], key)
                }
                None => authority.connector(),
            };
            // In TLS 1.3 the client is done before the server has looked.
            let client = connector.connect(client, "localhost").await.expect("the client is content");
            match accepting.await.expect("no panic") {
                Ok(server) => {
                    let seen = server.peer_certificates().expect("it was asked for");
                    server.shutdown().await.expect("an end");
                    assert!(read_all(&client).await.1.is_ok());
                    Ok(seen.len())
                }
                Err(error) => {
                    Err((error.to_string(), read_all(&client).await.1.expect_err("refused").to_string()))
                }
            }
        };
        assert_eq!(attempt(Some(authority.client())).await, Ok(1));
        let (server, client) = attempt(None).await.expect_err("none was shown");
        assert!(server.contains("the peer has shown no certificate"), "{server}");
        assert!(client.contains("it wants a certificate of ours, and was shown none"), "{client}");
        let (server, client) = attempt(Some(Authority::new().client())).await.expect_err("unknown");
        assert!(server.contains("is not of an authority that we trust"), "{server}");
        assert!(client.contains("it does not trust the issuer of our certificate"), "{client}");
    });
}

#[test]
fn l03_addresses_are_names_too() {
    on_runtime("addresses as names", async |_| {
        let authority = Authority::new();
        for name in ["127.0.0.1", "::1", "[::1]", "localhost", "localhost."] {
            let (client, server) = duplex(64 * 1024);
            let accepting = spawn(authority.localhost().acceptor().accept(server).run());
            let stream = authority.connector().connect(client, name).await;
            let stream = stream.unwrap_or_else(|error| panic!("{name}: {error}"));
            let server = accepting.await.expect("no panic").expect("a handshake");
            let sni = name.starts_with("localhost").then_some("localhost");
            assert_eq!(server.server_name().as_deref(), sni, "addresses are not sent (RFC 6066)");
            drop(stream);
        }
        let (client, server) = refused(authority.connector(), "127.0.0.2", &authority.localhost()).await;
        assert!(client.contains("is not for \"127.0.0.2\""), "{client} {server}");
        let (client, _server) = duplex(64 * 1024);
        let error = authority.connector().connect(client, "no name").await.expect_err("a space");
        assert_eq!(error.kind(), Kind::InvalidInput);
    });
}

#[test]
fn l03_only_the_explicit_type_turns_verification_off() {
    on_runtime("danger", async |_| {
        let (client, server) = duplex(64 * 1024);
        let accepting = spawn(self_signed().acceptor().accept(server).run());
        let connector = danger::AcceptAnyCertificate.connector();
        let stream = connector.connect(client, "anything.example").await.expect("anybody will do");
        accepting.await.expect("no panic").expect("a handshake");
        drop(stream);
        let none = Connector::with_roots(rustls::RootCertStore::empty());
        let (client, _server) = duplex(64 * 1024);
        let error = none.connect(client, "localhost").await.expect_err("nobody to trust");
        assert_eq!(error.kind(), Kind::Tls);
        assert!(error.to_string().contains("there is no root certificate to verify with"), "{error}");
    });
}
