-- The holds of one location in Redis. This library does what `embedded/` specifies, command by command. Each file here
-- has the name of its twin there; `formats.lua` and `cache.lua` have none. `library.rs` joins the files, in its order,
-- into one chunk of Lua: a local name belongs to all files behind it, and a chunk has at most 200 of them.
--
-- It is a library of Redis functions, which Redis compiles once; a script would build all of this in each call.
-- `library.rs` puts a shebang line and the constants of `holds.rs` in front of it.
--
-- keys  All that a call touches, so that a cluster refuses a call before it begins:
--         stock      hash    sku -> register: the copy of the ledger's row
--         held       hash    sku -> counter: units in live holds, and how often that changed
--         records    hash    id -> record of a reservation
--         deadlines  zset    ids of HELD reservations, by the end of their time
--         unsettled  zset    ids whose settlement may not be in the ledger, by when they were last touched
--         ended      list    `time id id ...`: what ended in one call and needs no settlement, in order
--         tombstones string  how many records are tombstones: cancelled, and never held
--         synced     string  how far the sync task has pushed
-- args  One, a list of texts packed as MessagePack, because each argument of its own would cost more: now in Unix ms
--       (empty: this server's clock), retention in ms, the most tombstones, then any number of commands: a name and a
--       fixed number of arguments. A list is one argument, joined by tabs, which no name can contain.
--
-- A call applies commands until it has done WORK_MAX, and at least one. It answers one reply for each: a record where
-- the command is accepted, else a word and what belongs to it, joined by tabs. Commands that answer several records
-- give a list. The replies are as many as the commands that were applied.
--
-- A call has many commands because a call costs more than a command. It reads what they need in few steps, applies them
-- one by one to what it has read, and writes what has changed in few steps (`cache.lua`).
--
-- A command that meets what this library never wrote is answered `corrupt` and changes nothing: Lua does not roll back,
-- so a command looks at all that it may need before it changes anything.

-- Redis gives these to a function when it is called, and not while the library is loaded.
local call, concat, find, match, gmatch, gsub, sub, format, floor, max, min

local STOCK, HELD, RECORDS, DEADLINES, UNSETTLED, ENDED, TOMBSTONES, SYNCED
local RETENTION_MS, TOMBSTONES_MAX, now, NOW

-- What counts towards WORK_MAX, as `holds.rs` says.
local worked

-- By name; each takes its arguments as texts and answers its reply.
local commands = {}

-- tostring() rounds beyond 14 digits.
local function text(number)
  return format('%d', number)
end

local function corrupt(what)
  error({ corrupt = what })
end
