//! From the queue to the destinations.
//!
//! - [`dispatcher`]: one task a destination, which takes what may go, in rank order, and writes down what came of it
//! - [`destination`]: what a destination implements; one file each
//! - [`verdict`]: what an answer means; a pure function with a table of cases
//! - [`batch`]: several operations at the same time, inside of one deadline; [`trial`]: destinations tested so
//! - [`backoff`], [`breaker`]: when to try again; pure as well
//!
//! Invariants: a delivery is `sent` only when its destination has confirmed this very report; a trouble of the destination is never
//! charged to a report; one destination never waits for another. Nothing here touches a source file.

pub mod backoff;
pub mod batch;
pub mod breaker;
pub mod destination;
pub mod dispatcher;
#[cfg(test)]
mod fleet;
pub mod trial;
pub mod verdict;
