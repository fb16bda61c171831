//! The UDP socket, with buffers that hold a burst: the system's default loses packets under load.

use super::options::SOCKET_BUFFER_BYTES;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, UdpSocket};

/// Binds `address` and asks for large buffers; a system that gives less is told of in the log.
pub(crate) fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        // One socket for both families; where that is not possible, IPv6 alone.
        let _ = socket.set_only_v6(false);
    }
    socket.set_nonblocking(true)?;
    socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.set_send_buffer_size(SOCKET_BUFFER_BYTES)?;
    // Linux reports twice what it gives.
    let given = socket.recv_buffer_size()?.min(socket.send_buffer_size()?) / 2;
    if given < SOCKET_BUFFER_BYTES {
        tracing::info!(
            "UDP buffers are {given} bytes instead of {SOCKET_BUFFER_BYTES}; raise net.core.rmem_max and \
             net.core.wmem_max if packets are lost under load"
        );
    }
    socket.bind(&address.into())?;
    Ok(socket.into())
}
