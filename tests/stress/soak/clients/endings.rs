//! The ways in which a client ends its connection.

use std::time::Duration;

use punctual::net::{Error, Kind};
use punctual::{scope, spawn, yield_now};

use super::GENEROUS;
use super::foreign::Shot;
use super::operations::{Client, name_of};
use crate::wire::{Bad, Wish};

impl Client {
    pub(super) async fn end(&mut self) -> Result<(), Bad> {
        match self.rng.u8(..16) {
            0 => Ok(()),
            1 => {
                self.stage.ledger.count("reset by the client", "ok");
                self.stream.set_linger(Some(Duration::ZERO)).map_err(Bad::Failed)
            }
            2..4 => self.close_in_order().await,
            4 => self.ended_by_the_server("bye", Wish::Bye).await,
            5 => self.ended_by_the_server("reset by the server", Wish::Reset).await,
            6..10 => self.cancelled_in_silence().await,
            10..12 => self.cancelled_midway().await,
            12..14 => self.cancelled_with_its_scope().await,
            14 => self.cancelled_from_within().await,
            _ => self.closed_while_it_reads().await,
        }
    }

    pub(super) async fn close_in_order(&mut self) -> Result<(), Bad> {
        if !self.settle().await? {
            return Ok(());
        }
        let running = self.begin("close in order", GENEROUS);
        match self.stream.close_in_order(GENEROUS).await {
            Ok(0) => running.end("ok"),
            Ok(more) => {
                running.end("other");
                return Err(Bad::Astray(format!("{more} bytes that nobody asked for")));
            }
            Err(error) => {
                running.end(crate::ledger::ending(error.kind()));
                return Err(Bad::Failed(error));
            }
        }
        Ok(())
    }

    /// The server closes or resets, as it was asked.
    async fn ended_by_the_server(&mut self, kind: &'static str, wish: Wish) -> Result<(), Bad> {
        self.push(wish, 100);
        let settled = self.settle().await;
        let ended = match settled {
            Ok(false) => return Ok(()),
            Ok(true) => {
                let running = self.begin(kind, GENEROUS);
                self.stream.set_read_timeout(Some(GENEROUS)).expect("open");
                let ended = self.read_nothing().await;
                running.end(match &ended {
                    Ok(()) => "end",
                    Err(error) => crate::ledger::ending(error.kind()),
                });
                ended
            }
            Err(Bad::Failed(error)) => Err(error),
            Err(other) => return Err(other),
        };
        match (wish, ended) {
            (Wish::Bye, Ok(())) => Ok(()),
            // Through the proxy it may be an end, too.
            (Wish::Reset, Ok(())) if !self.identity.is_direct() => Ok(()),
            (Wish::Reset, Ok(())) => Err(Bad::End),
            (Wish::Reset, Err(error)) if matches!(error.kind(), Kind::Kernel(_)) => Ok(()),
            (_, Err(error)) => Err(Bad::Failed(error)),
            (_, Ok(())) => Err(Bad::End),
        }
    }

    fn cause(&self) -> String {
        format!("client {} life {} is enough", self.identity.slot, self.identity.life)
    }

    /// It must have been cancelled, with its own cause, now and from now on.
    async fn must_be_cancelled(
        &mut self,
        kind: &'static str,
        result: Result<(), Error>,
    ) -> Result<(), Bad> {
        let error = match result {
            Ok(()) => return Err(Bad::End),
            Err(error) => error,
        };
        if error.kind() != Kind::Cancelled {
            return Err(Bad::Failed(error));
        }
        let wanted = self.cause();
        let told = error.cause().map(ToString::to_string);
        if told.as_ref() != Some(&wanted) {
            self.stage.ledger.violation(format!("{kind}: {told:?} instead of {wanted:?}"));
        }
        Ok(())
    }

    async fn stays_cancelled(&mut self, kind: &'static str) -> Result<(), Bad> {
        let again = self.read_nothing().await;
        self.must_be_cancelled(kind, again).await
    }

    /// By another thread, while it waits for what does not come.
    async fn cancelled_in_silence(&mut self) -> Result<(), Bad> {
        self.push(Wish::Silence, 64);
        if !self.settle().await? {
            return Ok(());
        }
        let kind = "cancelled from outside";
        let running = self.begin(kind, GENEROUS);
        self.stage.shoot(self.identity.slot, Shot::Cancel(self.stream.token(), self.cause()));
        // That it never comes would be a timeout nobody asked for.
        self.stream.set_read_timeout(Some(GENEROUS)).expect("open");
        let result = self.read_nothing().await;
        running.end(named(&result));
        self.must_be_cancelled(kind, result).await?;
        self.stays_cancelled(kind).await
    }

    /// By another thread, at any moment of a conversation.
    async fn cancelled_midway(&mut self) -> Result<(), Bad> {
        if !self.settle().await? {
            return Ok(());
        }
        let kind = "cancelled midway";
        let running = self.begin(kind, GENEROUS);
        self.stage.shoot(self.identity.slot, Shot::Cancel(self.stream.token(), self.cause()));
        self.stream.set_timeout(Some(GENEROUS)).expect("open");
        let bad = loop {
            self.push(Wish::Answer, 200);
            if let Err(bad) = self.converse(None).await {
                break bad;
            }
        };
        running.end(name_of(&bad));
        match bad {
            Bad::Failed(error) => self.must_be_cancelled(kind, Err(error)).await,
            other => Err(other),
        }
    }

    /// The scope is cancelled by another thread; the connection is unharmed.
    async fn cancelled_with_its_scope(&mut self) -> Result<(), Bad> {
        self.push(Wish::Silence, 64);
        if !self.settle().await? {
            return Ok(());
        }
        let kind = "scope cancelled from outside";
        let (running, cause) = (self.begin(kind, GENEROUS), self.cause());
        self.stream.set_read_timeout(Some(GENEROUS)).expect("open");
        let ended = scope("to be cancelled", GENEROUS, async |scope| {
            let shot = Shot::CancelScope(scope.canceller(), cause.clone());
            self.stage.shoot(self.identity.slot, shot);
            self.read_nothing().await
        })
        .await;
        let result = match ended {
            Ok(result) => result,
            Err(error) => {
                if error.cause().map(ToString::to_string) != Some(cause) {
                    self.stage.ledger.violation(format!("{kind}: {error}"));
                }
                error.into_value().unwrap_or(Ok(()))
            }
        };
        running.end(named(&result));
        self.must_be_cancelled(kind, result).await?;
        self.stream.set_read_timeout(None).expect("open");
        self.close_in_order().await
    }

    async fn cancelled_from_within(&mut self) -> Result<(), Bad> {
        if !self.settle().await? {
            return Ok(());
        }
        let kind = "cancelled from within";
        let running = self.begin(kind, GENEROUS);
        let (stream, cause) = (self.stream.clone(), self.cause());
        let canceller = spawn(async move {
            yield_now().await;
            stream.cancel(cause);
        });
        let result = self.read_nothing().await;
        running.end(named(&result));
        let cancelled = self.must_be_cancelled(kind, result).await;
        canceller.await.expect("no panic");
        cancelled
    }

    async fn closed_while_it_reads(&mut self) -> Result<(), Bad> {
        if !self.settle().await? {
            return Ok(());
        }
        let running = self.begin("closed while it reads", GENEROUS);
        let stream = self.stream.clone();
        let closer = spawn(async move {
            yield_now().await;
            stream.close();
        });
        let result = self.read_nothing().await;
        closer.await.expect("no panic");
        running.end(named(&result));
        match result {
            Err(error) if error.kind() == Kind::Closed => Ok(()),
            Err(error) => Err(Bad::Failed(error)),
            Ok(()) => Err(Bad::End),
        }
    }
}

fn named(result: &Result<(), Error>) -> &'static str {
    match result {
        Ok(()) => "end",
        Err(error) => crate::ledger::ending(error.kind()),
    }
}
