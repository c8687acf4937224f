//! What the topics share: certificates, scripted peers, oracles.
