//! Real clients and servers: curl, wrk, h2load, slowhttptest, openssl, nginx.

mod curl;
mod drain;
mod fetch;
mod files;
mod h2load;
mod openssl;
mod rig;
mod slow;
mod wrk;
