"""The journal of one account: the whole interface between the bridge and the database.

Each method that writes is one commit (`retention`: several small ones): when it returns, its change is on the
disk; when it raises, nothing was changed. Callers use the methods listed at `Journal` and the values of
`records.py` only: SQL stays in the parts, so that another database can provide the same methods.
"""

from __future__ import annotations

from wx2mqtt.store.commands import JournaledCommands
from wx2mqtt.store.history import HistoryQueries
from wx2mqtt.store.media import MediaJobs
from wx2mqtt.store.outbox import DiscoveryState, Outbox
from wx2mqtt.store.received import ReceivedMessages
from wx2mqtt.store.requests import JournaledRequests
from wx2mqtt.store.retention import JournalRetention


class Journal(
    ReceivedMessages,
    MediaJobs,
    Outbox,
    DiscoveryState,
    HistoryQueries,
    JournaledCommands,
    JournaledRequests,
    JournalRetention,
):
    """Messages, publications, commands and requests of one account. Several journals share a database.

    journal_part: base class of the parts
        account                 the name of the account

    account_state: what is kept about the account itself
        open                    the stored state of the account; creates the account and the stream id
        stream                  the stream id, once `open` has returned
        set_base_topic          store the base topic that the account first used
        set_broker_session      store the number of the MQTT session

    received: messages and events from WeChat
        record                  store messages, events, changed people and the cursor in one commit
        set_cursor              store a new login and its cursor

    media: the files of messages, as rows (the files themselves: `blobs`)
        next_media              the download that is due first
        get_media               one media row by id
        media_of_messages       the media rows of several messages
        newest_avatar           the newest avatar of a user
        add_media               add a download that belongs to no message
        request_media           schedule a download that a client waits for
        unschedule_media        download no more but what clients have requested
        postpone_media          store a failed attempt and the time of the next one
        mark_media_ready        store the downloaded file and publish that it is there
        mark_media_unavailable  store and publish that there will be no file
        mark_media_lost         schedule a new download of a file that vanished
        held_messages           messages that wait for their file
        release_message         let a held message be published

    outbox: publications for the broker
        enqueue                 add publications
        list_waiting            the next publications in order
        list_waiting_in_topic   the next publications of one topic
        mark_published          the broker acknowledged publications
        delete_published        delete results that were published, in a store that is full for commands
        created_times           when publications were created
        set_aside               take refused publications out of the order
        list_set_aside          the publications that were set aside, with the reason
        requeue_set_aside       let publications that were set aside wait again
        drop_topic              give up all waiting publications of a topic
        drop_expired            give up waiting publications whose expiry is over
        private_event_fields    what an event keeps for the backend
        message_author          the topic level of a message's sender
        load_discovery          the topics that Home Assistant discovery has published
        save_discovery          store them before they are published

    history: queries of stored messages
        find_messages           a page of messages by seq, user, kind and text
        quoted_message          the content of a message by its WeChat id

    commands: commands for WeChat, from the acceptance to exactly one result
        accept                  store new commands, recognise redeliveries and repeats
        list_due                the next unsettled commands
        list_urgent             unsettled commands that may use the fallback service
        list_unanswered         commands with attempts that WeChat did not answer
        list_commands           a page of commands, the newest first
        list_unsent             settled commands that were not sent
        list_failing_users      the users whose last command was not sent
        get_command             one command by id
        mark_started            an attempt starts
        start_bundle            an attempt at several texts in one message starts
        mark_not_delivered      the attempt certainly did not arrive
        mark_uncertain          the attempt got no answer
        mark_part_sent          one part of a long text was sent
        mark_held               hold commands until the reply window opens
        set_fallback_states     store how the fallback of commands stands
        attach_file             attach the file that a command had to fetch
        settle                  store and publish the result of a command
        recover_attempts        at start: make interrupted attempts uncertain
        retry_command           accept a settled command once more
        drop_command            settle a waiting command by the owner's decision
        set_owner               store the WeChat account to which the store belongs
        change_owner            store another one, and settle all waiting commands
        last_result_codes       the result codes of the commands that were sent last
        is_sent_message         whether a WeChat id belongs to a command
        sent_message_target     the recipient and time of an own message
        last_command_for        when a person was last written to

    requests: requests that change something at WeChat
        start_request           mark an attempt, or return what a redelivery must know
        finish_request          store and publish the answer

    retention: age, size and figures
        prune                   delete settled rows by age
        prune_refused           delete refused commands and their results, in a store that is nearly full
        prune_history           delete the oldest messages until the database is small enough
        shrink                  return free pages to the file system
        stats                   the figures of the account
    """
