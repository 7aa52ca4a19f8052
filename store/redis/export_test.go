package redis

// The scripts are called by themselves in tests.
var CommitLua, LeaseLua = commitLua, leaseLua
