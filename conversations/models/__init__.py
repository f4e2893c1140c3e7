from conversations.models.conversation import Conversation, ConversationDetails, Message, MessageDetails, Role
from conversations.models.message_words import MessageWords
from conversations.models.stored_file import (
    ConversationFile,
    FileDetails,
    FileReading,
    FileRemoval,
    FileType,
    StoredFile,
)
from conversations.models.tool_call import CallStatus, ToolCall
from conversations.models.workflow_step import WorkflowStep

__all__ = [
    "CallStatus",
    "Conversation",
    "ConversationDetails",
    "ConversationFile",
    "FileDetails",
    "FileReading",
    "FileRemoval",
    "FileType",
    "Message",
    "MessageDetails",
    "MessageWords",
    "Role",
    "StoredFile",
    "ToolCall",
    "WorkflowStep",
]
