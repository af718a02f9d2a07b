//! Destinations against real counterparts on loopback.

mod asked;
mod proxy;
mod support;
mod tls;
