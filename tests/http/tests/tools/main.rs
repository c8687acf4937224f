//! Real clients and servers: curl, wrk, h2load, slowhttptest, openssl, nginx.

mod fetch;
