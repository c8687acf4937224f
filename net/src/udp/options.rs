//! Socket options of a [`UdpSocket`].

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::error::Error;
use crate::udp::UdpSocket;

/// Socket options.
impl UdpSocket {
    /// Whether it may send to broadcast addresses (`SO_BROADCAST`, socket(7)).
    ///
    /// # Errors
    /// `Closed`, or what the kernel says.
    pub fn broadcast(&self) -> Result<bool, Error> {
        self.option(|io| io.broadcast())
    }

    /// Lets it send to broadcast addresses (`SO_BROADCAST`), which are refused with `EACCES` otherwise.
    ///
    /// # Errors
    /// `Closed`, or what the kernel says.
    pub fn set_broadcast(&self, broadcast: bool) -> Result<(), Error> {
        self.option(|io| io.set_broadcast(broadcast))
    }

    /// How many hops its IPv4 datagrams may take (`IP_TTL`, ip(7)).
    ///
    /// # Errors
    /// `Closed`, or what the kernel says.
    pub fn ttl(&self) -> Result<u32, Error> {
        self.option(|io| io.ttl())
    }

    /// Sets how many hops its IPv4 datagrams may take (`IP_TTL`): 1 to 255.
    ///
    /// # Errors
    /// `Closed`, or what the kernel says.
    pub fn set_ttl(&self, ttl: u32) -> Result<(), Error> {
        self.option(|io| io.set_ttl(ttl))
    }

    /// How many hops its IPv4 multicasts may take (`IP_MULTICAST_TTL`); 1 unless it was set: they stay in the
    /// local network.
    ///
    /// # Errors
    /// `Closed`, or what the kernel says.
    pub fn multicast_ttl_v4(&self) -> Result<u32, Error> {
        self.option(|io| io.multicast_ttl_v4())
    }

    /// Sets how many hops its IPv4 multicasts may take (`IP_MULTICAST_TTL`): 0 to 255.
    ///
    /// # Errors
    /// `Closed`, or what the kernel says.
    pub fn set_multicast_ttl_v4(&self, multicast_ttl_v4: u32) -> Result<(), Error> {
        self.option(|io| io.set_multicast_ttl_v4(multicast_ttl_v4))
    }

    /// Whether its IPv4 multicasts come back to this host too (`IP_MULTICAST_LOOP`).
    ///
    /// # Errors
    /// `Closed`, or what the kernel says.
    pub fn multicast_loop_v4(&self) -> Result<bool, Error> {
        self.option(|io| io.multicast_loop_v4())
    }

    /// Has its IPv4 multicasts come back to this host too, or not (`IP_MULTICAST_LOOP`).
    ///
    /// # Errors
    /// `Closed`, or what the kernel says.
    pub fn set_multicast_loop_v4(&self, multicast_loop_v4: bool) -> Result<(), Error> {
        self.option(|io| io.set_multicast_loop_v4(multicast_loop_v4))
    }

    /// Whether its IPv6 multicasts come back to this host too (`IPV6_MULTICAST_LOOP`, ipv6(7)).
    ///
    /// # Errors
    /// `Closed`, or what the kernel says.
    pub fn multicast_loop_v6(&self) -> Result<bool, Error> {
        self.option(|io| io.multicast_loop_v6())
    }

    /// Has its IPv6 multicasts come back to this host too, or not (`IPV6_MULTICAST_LOOP`).
    ///
    /// # Errors
    /// `Closed`, or what the kernel says.
    pub fn set_multicast_loop_v6(&self, multicast_loop_v6: bool) -> Result<(), Error> {
        self.option(|io| io.set_multicast_loop_v6(multicast_loop_v6))
    }

    /// Receives what is sent to the multicast address `group` on the interface with the address `interface`, or
    /// that the kernel chooses for `UNSPECIFIED` (`IP_ADD_MEMBERSHIP`).
    ///
    /// A socket bound to `0.0.0.0` on Linux hears besides every group that any other socket of the machine has
    /// joined (`IP_MULTICAST_ALL`, ip(7)); `set_multicast_all_v4(false)` on it, by
    /// [`with_socket`](Self::with_socket), ends that.
    ///
    /// # Errors
    /// `Closed`, or what the kernel says.
    pub fn join_multicast_v4(&self, group: &Ipv4Addr, interface: &Ipv4Addr) -> Result<(), Error> {
        self.option(|io| io.join_multicast_v4(group, interface))
    }

    /// Undoes [`join_multicast_v4`](UdpSocket::join_multicast_v4), with the same arguments (`IP_DROP_MEMBERSHIP`).
    ///
    /// # Errors
    /// `Closed`, or what the kernel says.
    pub fn leave_multicast_v4(&self, group: &Ipv4Addr, interface: &Ipv4Addr) -> Result<(), Error> {
        self.option(|io| io.leave_multicast_v4(group, interface))
    }

    /// Receives what is sent to the multicast address `group` on the interface with the number `interface`, or
    /// that the kernel chooses for 0 (`IPV6_ADD_MEMBERSHIP`).
    ///
    /// # Errors
    /// `Closed`, or what the kernel says.
    pub fn join_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> Result<(), Error> {
        self.option(|io| io.join_multicast_v6(group, interface))
    }

    /// Undoes [`join_multicast_v6`](UdpSocket::join_multicast_v6), with the same arguments
    /// (`IPV6_DROP_MEMBERSHIP`).
    ///
    /// # Errors
    /// `Closed`, or what the kernel says.
    pub fn leave_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> Result<(), Error> {
        self.option(|io| io.leave_multicast_v6(group, interface))
    }
}
