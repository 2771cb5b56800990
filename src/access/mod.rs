//! Who may call what. It knows nothing of gRPC, HTTP or sockets: callers hand in what they were shown.

pub mod methods;
pub mod role;
