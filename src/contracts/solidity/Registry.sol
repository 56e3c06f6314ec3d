// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Directory of who offers a service, and where.
/// @notice An entry holds an endpoint, a public key and a hash of what is offered. Services are told apart by the
/// keccak-256 of their name ("data" for sellers of data). An account has at most one entry per service.
/// @dev The public key must be the one that the account's address is derived from, so an entry proves who wrote it and
/// accounts without a key (contracts) can't register.
contract Registry {
    /// @notice What is known of one account.
    struct Entry {
        address account;
        /// @dev Unix seconds of the last change.
        uint64 updatedAt;
        /// @dev Hash of the offer, by the rules of the service; 0 for none.
        bytes32 menuHash;
        /// @dev URL, 1 to 256 bytes; nothing else about it is checked here.
        string endpoint;
        /// @dev secp256k1, 65 bytes, uncompressed.
        bytes publicKey;
    }

    struct Stored {
        address account;
        uint64 updatedAt;
        bytes32 menuHash;
        bytes32 x;
        bytes32 y;
        string endpoint;
    }

    /// @notice `account` was added to the list of `service`.
    event Registered(
        bytes32 indexed service, address indexed account, string endpoint, bytes publicKey, bytes32 menuHash
    );
    /// @notice `account` changed its entry.
    event Updated(bytes32 indexed service, address indexed account, string endpoint, bytes32 menuHash);
    /// @notice `account` took its entry away.
    event Removed(bytes32 indexed service, address indexed account);

    /// @notice The account has an entry; update that.
    error AlreadyRegistered(bytes32 service, address account);
    /// @notice The account has no entry.
    error NotRegistered(bytes32 service, address account);
    /// @notice The endpoint is empty or too long.
    error EndpointOutOfRange(uint256 length, uint256 longest);
    /// @notice The key is not 65 bytes that begin with 4, or not that of the caller's address.
    error PublicKeyNotCallers(address derived, address caller);

    uint256 private constant LONGEST_ENDPOINT = 256;

    mapping(bytes32 service => Stored[]) private _entries;
    /// @dev Place in `_entries` plus one; 0 for none.
    mapping(bytes32 service => mapping(address account => uint256)) private _places;

    /// @notice Adds the caller to the list of a service.
    /// @param publicKey The key of the caller's address: 65 bytes, uncompressed.
    function register(bytes32 service, string calldata endpoint, bytes calldata publicKey, bytes32 menuHash) external {
        if (_places[service][msg.sender] != 0) revert AlreadyRegistered(service, msg.sender);
        _checkEndpoint(endpoint);
        bool formed = publicKey.length == 65 && publicKey[0] == 0x04;
        address derived = formed ? address(uint160(uint256(keccak256(publicKey[1:])))) : address(0);
        if (derived != msg.sender) revert PublicKeyNotCallers(derived, msg.sender);
        Stored[] storage entries = _entries[service];
        entries.push(
            Stored({
                account: msg.sender,
                updatedAt: uint64(block.timestamp),
                menuHash: menuHash,
                x: bytes32(publicKey[1:33]),
                y: bytes32(publicKey[33:65]),
                endpoint: endpoint
            })
        );
        _places[service][msg.sender] = entries.length;
        emit Registered(service, msg.sender, endpoint, publicKey, menuHash);
    }

    /// @notice Changes the caller's entry; its key stays.
    function update(bytes32 service, string calldata endpoint, bytes32 menuHash) external {
        Stored storage stored = _entries[service][_indexOf(service, msg.sender)];
        _checkEndpoint(endpoint);
        stored.updatedAt = uint64(block.timestamp);
        stored.menuHash = menuHash;
        stored.endpoint = endpoint;
        emit Updated(service, msg.sender, endpoint, menuHash);
    }

    /// @notice Takes the caller's entry away. The last entry of the list moves to its place.
    function withdraw(bytes32 service) external {
        uint256 index = _indexOf(service, msg.sender);
        Stored[] storage entries = _entries[service];
        uint256 last = entries.length - 1;
        if (index != last) {
            entries[index] = entries[last];
            _places[service][entries[index].account] = index + 1;
        }
        entries.pop();
        delete _places[service][msg.sender];
        emit Removed(service, msg.sender);
    }

    /// @notice The entry of one account.
    function get(bytes32 service, address account) external view returns (Entry memory) {
        return _view(_entries[service][_indexOf(service, account)]);
    }

    /// @notice A page of the list of a service: at most `count_` entries, starting at `from`; empty past the end.
    /// @dev The order changes when an entry is withdrawn. Read all pages at one block, or follow the events.
    function list(bytes32 service, uint256 from, uint256 count_) external view returns (Entry[] memory page) {
        Stored[] storage entries = _entries[service];
        uint256 left = from < entries.length ? entries.length - from : 0;
        page = new Entry[](count_ < left ? count_ : left);
        for (uint256 i = 0; i < page.length; ++i) {
            page[i] = _view(entries[from + i]);
        }
    }

    /// @notice How many entries a service has.
    function count(bytes32 service) external view returns (uint256) {
        return _entries[service].length;
    }

    function _indexOf(bytes32 service, address account) private view returns (uint256) {
        uint256 place = _places[service][account];
        if (place == 0) revert NotRegistered(service, account);
        return place - 1;
    }

    function _checkEndpoint(string calldata endpoint) private pure {
        uint256 length = bytes(endpoint).length;
        if (length == 0 || length > LONGEST_ENDPOINT) revert EndpointOutOfRange(length, LONGEST_ENDPOINT);
    }

    function _view(Stored storage stored) private view returns (Entry memory) {
        return Entry({
            account: stored.account,
            updatedAt: stored.updatedAt,
            menuHash: stored.menuHash,
            endpoint: stored.endpoint,
            publicKey: abi.encodePacked(bytes1(0x04), stored.x, stored.y)
        });
    }
}
