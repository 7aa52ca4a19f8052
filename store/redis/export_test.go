package redis

// CommitLua is called by itself in a test.
var CommitLua = commitLua
