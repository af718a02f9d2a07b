//! Destinations against real counterparts on loopback.

mod asked;
mod proxy;
mod sending;
mod support;
mod tls;
